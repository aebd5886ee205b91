"""Training an experiment in a work directory: the objects of its config, put together."""

import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from scoresde import data, jobs, quality, training
from scoresde.data import pictures
from scoresde.experiment import Experiment, build, too_short
from scoresde.jobs.progress import QUIET
from scoresde.registry import UsageError
from scoresde.runs.generate import generate
from scoresde.runs.quality_protocol import QualityProtocol
from scoresde.runs.sample_features import sample_features
from scoresde.runs.workdir import save_config

# Samples of the grids that are drawn on the way.
_SHOWN = 64


def train(config: Any, workdir: str | os.PathLike, *, strict: bool = False) -> training.TrainState:
    """Trains the experiment of `config`, or goes on with it if it is the run in `workdir`.

    Nothing is written before everything is known to fit: the config, the data, the network and the
    devices.

    Args:
        config: as `scoresde.build` takes it, for instance what `scoresde.load_config` returns.
        workdir: of the run, see `scoresde.runs.workdir`.
        strict: see `scoresde.training.train`.

    Returns:
        The last state; its step is below the config's num_steps if the run was told to stop.

    Raises:
        UsageError: what does not fit, or what `scoresde.training.train` raises.
    """
    workdir, experiment = pathlib.Path(workdir), build(config)
    _check_classes(experiment)
    settings = experiment.training
    mesh = training.make_mesh(fsdp=settings.fsdp)
    rules = training.fsdp_rules(mesh, settings.fsdp_from)
    training.check_divisible(settings.batch_size, mesh, settings.accumulate)
    split, source = experiment.source.splits["train"], experiment.source
    if settings.eval_every:
        _check_test_images(source, mesh)
    init_key, train_key, eval_key, sample_key = jax.random.split(jax.random.key(experiment.seed), 4)
    loss_fn = experiment.loss_fn()

    def new_state() -> training.TrainState:
        return training.create_state(
            train_key,
            experiment.init(init_key),
            experiment.optimizer,
            experiment.averages,
            experiment.init_memory(),
        )

    state = training.created_on(mesh, new_state, rules)
    train_step = training.make_train_step(
        loss_fn,
        experiment.optimizer,
        mesh,
        averages=experiment.averages,
        rules=rules,
        steps_per_dispatch=settings.steps_per_dispatch,
        accumulate=settings.accumulate,
        project=experiment.project,
    )
    loader = make_loader(
        experiment, settings.batch_size, settings.steps_per_dispatch, experiment.flip
    )
    batch = split.batch(slice(0, 2))
    jax.eval_shape(loss_fn, state.params, train_key, batch)  # does the network take them?
    callbacks: list[tuple[int, Callable]] = []
    if settings.snapshot_every:
        snapshots = training.AverageFiles(workdir / "snapshots")
        take = training.take_snapshots(snapshots, experiment.averages, settings.snapshot_dtype)
        callbacks.append((settings.snapshot_every, take))
    if settings.eval_every:
        callbacks.append((settings.eval_every, _evaluation(experiment, mesh, eval_key)))
    pictures_of = experiment.codec.of_images and not experiment.trains_classifier
    if settings.sample_every and pictures_of:
        callbacks.append((settings.sample_every, _grid(experiment, mesh, sample_key, workdir)))
    if settings.eval_fd_every:
        callbacks.append((settings.eval_fd_every, _distance(experiment, mesh, sample_key, workdir)))
    jobs.by_first(lambda: _record(workdir, config))  # only now is anything written
    count = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    jobs.say(
        f"Training {count:,} parameters on {len(split):,} {_nouns(experiment)} to step "
        f"{settings.num_steps:,}, batches of {settings.batch_size} on {_devices(mesh)}; "
        f"checkpoints, the log and samples go to {workdir}.",
        sys.stdout,
    )
    for remark in too_short(config):
        jobs.say(f"Warning: {remark}", sys.stdout)

    return training.train(
        state,
        train_step,
        loader,
        mesh=mesh,
        workdir=workdir,
        num_steps=settings.num_steps,
        rules=rules,
        log_every=settings.log_every,
        checkpoint_every=settings.checkpoint_every,
        keep=settings.keep,
        keep_every=settings.keep_every,
        max_skipped_in_a_row=settings.max_skipped_in_a_row,
        callbacks=callbacks,
        strict=strict,
    )


def _record(workdir: pathlib.Path, config: Any) -> None:
    with training.exclusive(workdir / "checkpoints"):
        save_config(workdir, config)


def _devices(mesh: jax.sharding.Mesh) -> str:
    processes, share = jax.process_count(), mesh.shape.get(training.FSDP_AXIS, 1)
    words = f"{mesh.size} device(s)"
    words += f" of {processes} processes" if processes > 1 else ""
    return words + (f", the state over {share} of them" if share > 1 else "")


def _nouns(experiment: Experiment) -> str:
    return "images" if experiment.codec.of_images else "samples"


def make_loader(
    experiment: Experiment, batch_size: int, steps_per_dispatch: int, flip: bool
) -> data.Loader:
    """This process's part of the training batches."""
    return data.Loader(
        experiment.source.splits["train"],
        batch_size // jax.process_count(),
        seed=experiment.seed,
        flip=flip,
        steps=steps_per_dispatch,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )


def _check_classes(experiment: Experiment) -> None:
    classes = getattr(experiment.network, "num_classes", None)
    if classes and "label" not in experiment.condition:
        raise UsageError(
            f"The network has {classes} classes and training would never tell it one: set "
            "config.data.labels=True, or leave out num_classes and label_dropout."
        )


def _check_test_images(source: data.Source, mesh: jax.sharding.Mesh) -> None:
    images = len(source.splits["test"]) if "test" in source.splits else 0
    if images < mesh.size:
        raise UsageError(
            f"The data {source.name!r} have {images} test images for {mesh.size} device(s): "
            "set --config.training.eval_every=0."
        )


def _evaluation(experiment: Experiment, mesh: jax.sharding.Mesh, key: jax.Array) -> Callable:
    """The loss of one batch of test images, by the average of the parameters."""
    eval_step = training.make_eval_step(experiment.loss_fn(train=False), mesh)
    split, every = experiment.source.splits["test"], experiment.training.eval_every
    size = min(experiment.training.batch_size, len(split) // mesh.size * mesh.size)
    index, count = jax.process_index(), jax.process_count()

    def test_loss(step: int, state: training.TrainState) -> dict[str, jax.Array]:
        # A batch that is a function of the step alone, so that a resumed log is the same.
        first = (step // every * size) % (len(split) - size + 1)
        own = slice(first + index * size // count, first + (index + 1) * size // count)
        batch = training.shard_batch(mesh, split.batch(own))
        metrics = eval_step(state, jax.random.fold_in(key, step), batch)
        return {"eval_loss": metrics["loss"]}

    return test_loss


def _grid(
    experiment: Experiment, mesh: jax.sharding.Mesh, key: jax.Array, workdir: pathlib.Path
) -> Callable:
    """A picture of samples by the average of the parameters."""

    def draw(step: int, state: training.TrainState) -> None:
        path = workdir / "samples" / f"step_{step:08d}.png"
        with jobs.picture(path):  # training goes on without it
            denoiser = experiment.denoiser(state.averages["ema"], experiment.sampling.t_min)
            drawn = generate(key, experiment, denoiser, _SHOWN, mesh=mesh, progress=_lines(step))
            if bad := int(drawn.unfinished.sum()):
                jobs.say(f"Warning: {bad} of the {_SHOWN} samples in {path} are not finite (gray).")
            if jax.process_index() == 0:
                pictures.save_grid(path, drawn.images, bins=experiment.codec.bins)

    return draw


def _distance(
    experiment: Experiment, mesh: jax.sharding.Mesh, key: jax.Array, workdir: pathlib.Path
) -> Callable:
    """The Frechet distance of samples by the average of the parameters from the training images."""
    settings, source = experiment.training, experiment.source
    if not experiment.codec.of_images:
        raise UsageError("Features are of images, and the data are none: set eval_fd_every=0.")
    protocol = QualityProtocol(extractor=settings.eval_features)
    extractor = protocol.extractor_for(source.name)
    measured = quality.MEASURES["fd"](bootstrap=0)

    def distance(step: int, state: training.TrainState) -> dict[str, float]:
        reference, _ = quality.of_split(
            workdir / "statistics", source, "train", extractor, mesh=mesh, progress=_lines(step)
        )
        denoiser = experiment.denoiser(state.averages["ema"], experiment.sampling.t_min)
        samples, _ = sample_features(
            key,
            experiment,
            denoiser,
            settings.eval_fd_num,
            extractor,
            mesh=mesh,
            progress=_lines(step),
        )
        return {"eval_fd": measured(samples, reference)["fd"].value}

    return distance


def _lines(step: int) -> jobs.Tell:
    """Says that samples are drawn, and that they still are, for a run that stands still."""
    said = 0.0

    def tell(report: jobs.Report) -> None:
        nonlocal said
        if report.stage == "start":
            said = time.monotonic()
            jobs.say(f"step {step}: {report.text or f'drawing {report.num} samples ...'}")
        elif report.stage == "waiting" and time.monotonic() - said >= QUIET:
            said = time.monotonic()
            jobs.say(f"step {step}: drawing samples for {report.seconds:.0f} s so far")

    return tell
