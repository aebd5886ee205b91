"""Training an experiment in a work directory: the objects of its config, put together."""

import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import jax

from scoresde import jobs, losses, quality, training
from scoresde.data import pictures
from scoresde.evaluation import plot_levels
from scoresde.experiment import Experiment, too_short
from scoresde.jobs.progress import QUIET
from scoresde.registry import UsageError
from scoresde.runs.generate import generate
from scoresde.runs.quality_protocol import QualityProtocol
from scoresde.runs.sample_features import sample_features
from scoresde.runs.setup import devices_words, flops_of_step, nouns, set_up
from scoresde.runs.tracking import tracked
from scoresde.runs.workdir import save_config
from scoresde.speed.peaks import peaks_of

# Samples of the grids that are drawn on the way.
_SHOWN = 64


def train(
    config: Any,
    workdir: str | os.PathLike,
    *,
    profile: str | None = None,
    strict: bool = False,
) -> training.TrainState:
    """Trains the experiment of `config`, or goes on with it if it is the run in `workdir`.

    Nothing is written before everything is known to fit: the config, the data, the network and the
    devices.

    Args:
        config: as `scoresde.build` takes it, for instance what `scoresde.load_config` returns.
        workdir: of the run, see `scoresde.runs.workdir`.
        profile: "START:STOP", steps that are traced into its folder profile/; None for none.
        strict: see `scoresde.training.train`.

    Returns:
        The last state; its step is below the config's num_steps if the run was told to stop.

    Raises:
        UsageError: what does not fit, or what `scoresde.training.train` raises; processes that were
            told different things, on all of them.
    """
    workdir, setup = pathlib.Path(workdir), set_up(config)
    experiment, mesh = setup.experiment, setup.mesh
    settings, split = experiment.training, experiment.source.splits["train"]
    traced = None if profile is None else training.parse_profile(profile, settings.num_steps)
    callbacks: list[tuple[int, Callable]] = []
    if settings.snapshot_every:
        snapshots = training.AverageFiles(workdir / "snapshots")
        take = training.take_snapshots(snapshots, experiment.averages, settings.snapshot_dtype)
        callbacks.append((settings.snapshot_every, take))
    if settings.eval_every:
        callbacks.append((settings.eval_every, _evaluation(experiment, mesh, setup.eval_key)))
    pictures_of = experiment.codec.of_images and not experiment.trains_classifier
    drawing = experiment, mesh, setup.sample_key, workdir
    if settings.sample_every and pictures_of:
        callbacks.append((settings.sample_every, _grid(*drawing)))
    if settings.eval_fd_every:
        callbacks.append((settings.eval_fd_every, _distance(*drawing)))
    jobs.by_first(lambda: _record(workdir, config))  # only now is anything written
    jobs.say(
        f"Training {setup.parameters:,} parameters on {len(split):,} {nouns(experiment)} to step "
        f"{settings.num_steps:,}, batches of {settings.batch_size} on {devices_words(mesh)}; "
        f"checkpoints, the log and samples go to {workdir}.",
        sys.stdout,
    )
    for remark in too_short(config):
        jobs.say(f"Warning: {remark}", sys.stdout)

    with tracked(settings.wandb, workdir, config) as tracker:
        state = training.train(
            setup.state,
            setup.train_step,
            setup.loader,
            mesh=mesh,
            workdir=workdir,
            num_steps=settings.num_steps,
            rules=setup.rules,
            log_every=settings.log_every,
            checkpoint_every=settings.checkpoint_every,
            keep=settings.keep,
            keep_every=settings.keep_every,
            max_skipped_in_a_row=settings.max_skipped_in_a_row,
            callbacks=callbacks,
            strict=strict,
            learning_rate=experiment.learning_rate,
            profile=traced,
            tracker=tracker,
            peak_flops=_peak_flops(experiment, mesh),
            step_flops=lambda: flops_of_step(experiment),
        )
    if jax.process_index() == 0:
        rows = training.read_log(workdir)
        # A run may be too short, or its objective of a kind, to have logged any.
        if any(name.startswith("loss_by_noise/") for row in rows for name in row):
            with jobs.picture(workdir / "loss_by_noise.png"):
                plot_levels(workdir / "loss_by_noise.png", rows, losses.level_words())
    return state


def _record(workdir: pathlib.Path, config: Any) -> None:
    with training.exclusive(workdir / "checkpoints"):
        save_config(workdir, config)


def _peak_flops(experiment: Experiment, mesh: jax.sharding.Mesh) -> float | None:
    """What the devices can do together, where that is known."""
    dtype = getattr(getattr(experiment.network, "module", None), "dtype", "float32")
    peaks = peaks_of(mesh.devices.flat[0].device_kind, str(dtype))
    return peaks and mesh.size * peaks.flops


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
