"""What `scoresde likelihood` evaluates: the estimator of its options, and the protocol of it."""

import argparse
import pathlib
from typing import Any

import ml_collections

from scoresde import build, evaluation, files, training
from scoresde.cli.workdir import result_directory
from scoresde.registry import UsageError, member
from scoresde.sdes import SDE

DONE = "likelihood.json"
"""The file that says that all results are there."""

_OPTIONS = {
    "exact": ("probes",),
    "score_flow": ("samples", "repeats"),
    "vdm": ("samples", "repeats"),
    "ddpm": ("samples", "repeats", "steps"),
}


def open_parts(
    directory: pathlib.Path, computed: dict[str, Any], overwrite: bool
) -> evaluation.Parts:
    """The finished batches in `directory`, if they are of the evaluation described.

    Args:
        directory: of the results.
        computed: everything that the numbers depend on.
        overwrite: start over, whatever is there.

    Raises:
        UsageError: there are results already, of this evaluation or of another one.
    """
    parts = directory / "parts"
    if (directory / DONE).exists() or not (parts / "protocol.json").exists():
        result_directory(directory, overwrite)
    if overwrite:
        (directory / DONE).unlink(missing_ok=True)
    return evaluation.Parts(parts, computed, again=overwrite)


def trained_flow(
    workdir: pathlib.Path, config: ml_collections.ConfigDict
) -> tuple[Any, dict[str, Any]]:
    """The parameters of the flow in `workdir`, and which they are.

    Args:
        workdir: of the run.
        config: its config, whose `dequantizer.network` is set to the flow's.

    Raises:
        UsageError: there is none.
    """
    record = workdir / "dequantizer" / "dequantizer.json"
    if not record.exists():
        raise UsageError(
            f"{workdir} holds no dequantiser. First: scoresde train-dequantizer --workdir {workdir}"
        )
    record = files.read_json(record)
    with config.unlocked():
        config.dequantizer = {"network": record["network"]}
    checkpoints = training.Checkpoints(workdir / "dequantizer" / "checkpoints")
    step = checkpoints.latest_step()
    params = checkpoints.restore_params(step)
    return params, {"dequantizer_step": step, "dequantizer_score_step": record["score_step"]}


def make_estimator(
    arguments: argparse.Namespace,
    experiment: build.Experiment,
    flow: tuple[Any, dict[str, Any]] | None,
    sde: SDE,
) -> tuple[Any, dict[str, Any]]:
    """The estimator of the options, and the part of the protocol that they decide.

    Args:
        arguments: of `scoresde likelihood`.
        experiment: of the work directory.
        flow: as returned by `trained_flow`, where the flow dequantises.
        sde: the process, with what it has learned.

    Raises:
        UsageError: an unknown bound or dequantiser, or options that contradict each other.
    """
    make = member("bound", evaluation.ESTIMATORS, arguments.bound)
    given = {name: getattr(arguments, name) for names in _OPTIONS.values() for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name not in _OPTIONS[arguments.bound]:
            raise UsageError(f"--bound {arguments.bound} takes no --{name}: leave it out.")
    settings = dict(experiment.settings["likelihood"])
    settings.pop("batch_size")
    if settings["t_min"] is None:
        settings["t_min"] = experiment.sde.t_min
    if arguments.bound != "exact":
        settings = {"t_min": settings["t_min"]}
    if arguments.bound == "ddpm":  # as many as a discrete process has
        settings["steps"] = getattr(experiment.sde, "num_scales", 1001) - 1
    settings |= given
    protocol = {"bound": arguments.bound}
    bins = experiment.codec.bins
    if arguments.bound in ("vdm", "ddpm"):
        if arguments.dequantizer is not None:
            raise UsageError(
                f"--bound {arguments.bound} bounds the probability of the levels themselves, "
                "without noise in their bins: leave out --dequantizer."
            )
        level_range = experiment.codec.level_range
        estimator = make(bins=bins, level_range=level_range, options=settings)
        protocol |= {"dequantization": "none", "level_range": level_range}
    else:
        name = arguments.dequantizer or "uniform"
        params, record = flow or (None, {})
        dequantizer, bin_range = experiment.dequantizer(
            name, std=arguments.dequantizer_std, params=params, sde=sde
        )
        estimator = make(dequantizer=dequantizer, bins=bins, bin_range=bin_range, options=settings)
        protocol |= {"dequantization": name, "bin_range": bin_range, **record}
        if hasattr(dequantizer, "std"):
            protocol["dequantization_std"] = dequantizer.std
    return estimator, protocol | settings
