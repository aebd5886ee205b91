"""Training the flow of variational dequantization of a run."""

import dataclasses
import json
import pathlib
import sys
from typing import Any

import jax

from scoresde import files, jobs, training
from scoresde.dequantization.objective import bound_loss
from scoresde.registry import UsageError
from scoresde.runs.setup import make_loader
from scoresde.runs.trained_model import TrainedModel

# What may differ when a run goes on.
_MAY_CHANGE = (
    *("num_steps", "log_every", "checkpoint_every", "keep", "keep_every"),
    "max_skipped_in_a_row",
)


def train_dequantizer(
    run: TrainedModel, step: int | None = None, *, strict: bool = False
) -> training.TrainState:
    """Trains the flow of `run` in its folder dequantizer/, or goes on with it.

    Args:
        run: the run, whose denoiser (its average) is frozen.
        step: the checkpoint of the denoiser; if None that of the flow there, or the latest.
        strict: see `scoresde.training.train`.

    Returns:
        The last state; its step is below the config's num_steps if it was told to stop.

    Raises:
        UsageError: there is no such checkpoint, or another flow is there already.
    """
    experiment, directory = run.experiment, run.workdir / "dequantizer"
    settings, mesh = experiment.dequantizer, run.mesh
    if experiment.codec.bin_range is None:
        raise UsageError("The data have no bins to dequantize: there is nothing to train.")
    record = directory / "dequantizer.json"
    if step is None and record.exists():  # the score model may have been trained on since
        step = files.read_json(record)["score_step"]
    step = run.step(step)
    denoiser = run.denoiser(step, t_min=experiment.likelihood.t_min)
    training.check_divisible(settings.batch_size, mesh, settings.accumulate)
    key = jax.random.fold_in(jax.random.key(experiment.seed), 1)  # not that of the score model
    init_key, train_key = jax.random.split(key)
    network, optimizer = experiment.dequantizer_network, experiment.dequantizer_optimizer
    params = network.init(init_key, experiment.image_shape)
    wanted = {"score_step": step, "t_min": experiment.likelihood.t_min}
    wanted |= dataclasses.asdict(settings)
    jobs.by_first(lambda: _save_record(record, wanted))

    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    images = len(experiment.source.splits["train"])
    jobs.say(
        f"Training a dequantizer of {count:,} parameters on {images:,} images to step "
        f"{settings.num_steps:,}, batches of {settings.batch_size} on {mesh.size} device(s), for "
        f"the model of step {step}; everything goes to {directory}.",
        sys.stdout,
    )
    averages = {"ema": training.EMA(rate=settings.ema_rate)}
    train_step = training.make_train_step(
        bound_loss(network, codec=experiment.codec, condition=experiment.condition),
        optimizer,
        mesh,
        averages=averages,
        steps_per_dispatch=settings.steps_per_dispatch,
        accumulate=settings.accumulate,
        frozen=denoiser,
    )
    return training.train(
        training.create_state(train_key, params, optimizer, averages),
        train_step,
        make_loader(experiment, settings.batch_size, settings.steps_per_dispatch, experiment.flip),
        mesh=mesh,
        workdir=directory,
        strict=strict,
        **{key: getattr(settings, key) for key in _MAY_CHANGE},
    )


def _save_record(path: pathlib.Path, wanted: dict[str, Any]) -> None:
    """Records what is trained, or checks that the run there is the same."""
    wanted = json.loads(json.dumps(wanted))
    if path.exists():
        found = files.read_json(path)
        for key, name in (("network", "dequantizer"), ("optimizer", "adam")):
            found[key] = {"name": name, **found[key]}  # earlier ones left it out
        may_change = set(_MAY_CHANGE)
        if wanted["optimizer"].get("schedule", "constant") != "constant":
            may_change.remove("num_steps")  # the learning rate at each step depends on it
        for key in sorted(wanted.keys() | found.keys()):
            if key not in may_change and found.get(key) != wanted.get(key):
                raise UsageError(
                    f"{path.parent} holds another dequantizer: {key} is {found.get(key)!r} there, "
                    f"{wanted.get(key)!r} here. Give the options it has, or move it away."
                )
    files.write_json(path, wanted)
