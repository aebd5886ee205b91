"""What training would do and need, before it is begun: nothing is written."""

import math
import os
import pathlib
import sys
import time
from typing import Any

import jax

from scoresde import jobs, training
from scoresde.experiment import Experiment, too_short
from scoresde.runs.setup import devices_words, flops_of_step, nouns, set_up


def dry_run(config: Any) -> dict[str, Any]:
    """Compiles the training step of `config`, makes one step, and says what it found in lines.

    Args:
        config: as of `scoresde.runs.train`.

    Returns:
        "parameters"; "memory", of the compiled program on each device in bytes: "arguments",
        "outputs", "aliased" (of the outputs, in the arguments' place), "temporaries" and "peak",
        or None where XLA does not say; "available", what a device has, or the host where the
        device does not say; "flops" of a step, as `scoresde.networks.cost` counts them, over all
        devices; "bytes_accessed", of a device's memory, None where that is not known;
        "compile_seconds", "step_seconds", and the step's "loss" and "grad_norm".

    Raises:
        UsageError: what does not fit, as of `scoresde.runs.train`.
    """
    setup = set_up(config, steps_per_dispatch=1)
    settings = setup.experiment.training
    for line in _about(setup):
        _say(line)
    for remark in too_short(config):
        _say(f"Warning: {remark}")
    state = training.place(setup.mesh, setup.state, setup.rules)
    batches = training.shard_batch(setup.mesh, next(setup.loader), axis=1)
    setup.loader.close()

    start = time.perf_counter()
    compiled = setup.train_step.lower(state, batches).compile()
    found = {"parameters": setup.parameters, "compile_seconds": time.perf_counter() - start}
    found["memory"] = _memory(compiled.memory_analysis())
    found["available"], whose = available_memory(setup.mesh.local_devices[0])
    found["flops"] = flops_of_step(setup.experiment)
    found["bytes_accessed"] = None
    if settings.accumulate == 1:  # of a loop, XLA counts one turn
        found["bytes_accessed"] = (compiled.cost_analysis() or {}).get("bytes accessed")
    for line in _costs(found, whose):
        _say(line)

    start = time.perf_counter()
    _, metrics = jax.block_until_ready(compiled(state, batches))
    found["step_seconds"] = time.perf_counter() - start
    metrics = jax.device_get(metrics)
    found |= {name: float(metrics[name][0]) for name in ("loss", "grad_norm")}
    _say(
        f"one step         loss {found['loss']:.5g}, gradient norm {found['grad_norm']:.5g}, "
        f"{found['step_seconds']:.3g} s"
    )
    if not (math.isfinite(found["loss"]) and math.isfinite(found["grad_norm"])):
        _say("Warning: the loss or the gradient of the first step is not finite.")
    _say("A dry run: nothing was written.")
    return found


def available_memory(device: jax.Device) -> tuple[int | None, str]:
    """The bytes a device has, and whose they are: "the device's", or "the host's" for a CPU."""
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"], "the device's"
    if device.platform != "cpu":
        return None, "the device's"
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:  # a container may have less
        limit = int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        limit = host
    return min(host, limit), "the host's"


def _say(line):
    jobs.say(line, sys.stdout)


def _about(setup):
    """The lines of what is known before anything is compiled."""
    experiment, mesh = setup.experiment, setup.mesh
    settings, source = experiment.training, experiment.source
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in source.splits.items())
    classes = f", {len(source.label_names)} classes" if source.label_names else ""
    bins = f", {source.bins} levels" if source.bins else ""
    shape = "x".join(map(str, source.image_shape))
    parts = f", in {settings.accumulate} parts one after the other" * (settings.accumulate > 1)
    network = type(getattr(experiment.network, "module", experiment.network)).__name__
    kinds = sorted({device.device_kind for device in mesh.devices.flat})
    averages = ", ".join(f"{name} {value!r}" for name, value in experiment.averages.items())
    return [
        f"data             {source.name}: {sizes} {nouns(experiment)} of {shape}{bins}{classes}",
        f"told             {', '.join(_told(experiment)) or 'nothing but the time'}",
        f"process          {experiment.sde}",
        f"prediction       {experiment.prediction}",
        f"network          {network}, {setup.parameters:,} parameters",
        f"averages         {averages}",
        f"training         {settings.num_steps:,} steps of {settings.batch_size}{parts}",
        f"devices          {devices_words(mesh)}: {', '.join(kinds)}",
    ]


def _told(experiment: Experiment) -> list[str]:
    made = () if experiment.degradation is None else experiment.degradation.names
    return [*experiment.condition, *made]


def _memory(analysis):
    if analysis is None:
        return None
    found = {
        "arguments": analysis.argument_size_in_bytes,
        "outputs": analysis.output_size_in_bytes,
        "aliased": analysis.alias_size_in_bytes,
        "temporaries": analysis.temp_size_in_bytes,
    }
    # What is allocated for it: the temporaries are one block.
    peak = found["arguments"] + found["outputs"] - found["aliased"] + found["temporaries"]
    return found | {"peak": peak}


def _costs(found, whose):
    """The lines of what the compiled program needs."""
    lines = [f"compiled in      {found['compile_seconds']:.1f} s"]
    if (memory := found["memory"]) is not None:
        sizes = {name: jobs.human_size(count) for name, count in memory.items()}
        share = ""
        if found["available"]:
            of = jobs.human_size(found["available"])
            share = f", {memory['peak'] / found['available']:.1%} of {whose} {of}"
        lines += [
            f"memory           {sizes['peak']} on each device{share}",
            f"                 arguments {sizes['arguments']}, outputs {sizes['outputs']} "
            f"(aliased {sizes['aliased']}), temporaries {sizes['temporaries']}",
        ]
        if found["available"] and memory["peak"] > found["available"]:
            lines.append("Warning: that is more than there is: raise config.training.accumulate.")
    work = f"{found['flops'] / 1e9:.4g} GFLOP a step" if found["flops"] else "FLOP not known"
    if found["bytes_accessed"]:
        work += f", {jobs.human_size(found['bytes_accessed'])} of memory traffic on each device"
    return [*lines, f"work             {work}"]
