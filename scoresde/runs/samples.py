"""The samples of a run on disk: their pixels, how they were drawn, and pictures of them."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from scoresde import files, jobs
from scoresde.condition import Condition
from scoresde.data import pictures
from scoresde.data.in_order import check_positive
from scoresde.experiment import Experiment, model_sections
from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.runs.generate import (
    Generated,
    condition_in_turn,
    generate,
    recording,
    whole_batch,
)
from scoresde.runs.guided import guided, requested_classes
from scoresde.runs.small_images import SmallImages, small_images
from scoresde.runs.trained_model import TrainedModel

DONE = "samples.json"
"""The file that says how the samples were drawn."""

# Samples in the pictures.
_SHOWN = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class SampleRequest:
    """Which samples are drawn; the sampler is the config's.

    Attributes:
        num: how many.
        batch_size: at a time.
        seed: the same seed gives the same samples.
        step: the checkpoint; the latest if None.
        average: which average of the parameters; None for the last iterate.
        label: the class of all of them, its number or its name; the classes in turn if None.
        labels: classes that are drawn in turn, as "0-9" or "3,5,7", by number or name; all if None.
        guidance: a section of `scoresde.guidance.GUIDANCE`, {"name": "cfg", "scale": 2.0}, or a
            list of such, the outermost last.
        animation: whether an animation of noise that becomes images is written as well.
        cascade: the work directory, or DIR@STEP, of the base model whose samples the network is
            told, where it is one of super-resolution; images of the data in order if None.
        augmentation: the level of noise of what the network is told, where it was trained with
            some; 0 if None.
        truncated: of a cascade, end the base model's sampling at that level, instead of adding
            noise to its result.

    Raises:
        UsageError: a value of another type, no samples, or both a label and labels.
    """

    num: int = 64
    batch_size: int = 64
    seed: int = 0
    step: int | None = None
    average: str | None = "ema"
    label: int | str | None = None
    labels: str | None = None
    guidance: Any = None
    animation: bool = False
    cascade: str | None = None
    augmentation: float | None = None
    truncated: bool = False

    def __post_init__(self):
        check_fields(self)
        check_positive(num=self.num, batch_size=self.batch_size)
        if self.label is not None and self.labels is not None:
            raise UsageError("Give one label for all samples, or labels in turn, not both.")
        if self.truncated and (self.cascade is None or not self.augmentation):
            raise UsageError(
                "What is truncated is a cascade, at a level of augmentation: give both."
            )


def draw_samples(
    run: TrainedModel,
    request: SampleRequest,
    *,
    name: str | None = None,
    overwrite: bool = False,
    progress: jobs.Tell | None = None,
) -> dict[str, Any]:
    """Draws samples and writes them to `workdir/samples/NAME/`.

    samples.npz (the levels of images), samples.json (how they were drawn), grid.png and, where it
    is asked for, noise_to_image.gif: numbers first, then pictures. Drawing that was stopped, or
    killed, goes on at the batch where it was, and the samples are the same.

    Args:
        run: the run.
        request: which samples.
        name: of the results' directory; step_STEP if None.
        overwrite: replace results that are there.
        progress: called with a `scoresde.jobs.Report` now and then; `scoresde.jobs.Progress()`
            shows it on stderr.

    Returns:
        What samples.json holds, and the "files" that were written. On other processes than the
        first, nothing.

    Raises:
        UsageError: a class that there is not, a checkpoint that is not there, or results that are.
    """
    experiment, codec, mesh = run.experiment, run.experiment.codec, run.mesh
    if request.animation and not codec.of_images:
        raise UsageError("An animation shows images, and the data are none: leave it out.")
    step = run.step(request.step, request.average)
    denoiser = run.denoiser(step, request.average, experiment.sampling.t_min)
    model = model_sections(run.config)
    denoiser, sections = guided(denoiser, request.guidance, model["network"], experiment)
    stage = small_images(run, request)
    known = "label" in denoiser.guided_by or "label" in experiment.condition
    classes = stage.classes  # of the base model of a cascade alone
    if known or classes is None:
        classes = requested_classes(experiment, request.label, request.labels, known)
    record = {
        "num": request.num,
        "seed": request.seed,
        "step": step,
        "parameters": request.average or "raw",
        "sampler": run.sampler_section(),
        "config": model,
        "t_min": denoiser.sde.t_min,
        "bins": codec.bins,
        **({"guidance": sections} if sections else {}),
        **({"labels": classes} if request.labels is not None else {}),
        **stage.record,
    }
    directory = run.workdir / "samples" / (name or f"step_{step}")
    batch_size = whole_batch(request.batch_size, request.num, mesh)
    computed = {"label": request.label, "animation": request.animation, "batch_size": batch_size}
    parts = jobs.open_parts(directory, {**record, **computed}, overwrite)
    sampling, stride = experiment.sampling, None
    if request.animation:
        sampling, stride = recording(sampling)
    drawn = generate(
        jax.random.key(request.seed),
        experiment,
        denoiser,
        request.num,
        mesh=mesh,
        batch_size=batch_size,
        condition=functools.partial(_condition, experiment, classes if known else None, stage),
        sampling=sampling,
        trajectory=stride,
        recorded=_SHOWN,
        parts=parts,
        progress=progress,
        about=(
            f"Drawing {request.num} samples of step {step} by {_words(run)}, "
            f"{-(-request.num // batch_size)} batch(es) of {batch_size}; they go to {directory}."
        ),
    )
    if jax.process_index() != 0:
        return {}
    summary = {
        **record,
        "nfe_mean": float(np.mean(drawn.nfe)),
        "nfe_max": int(np.max(drawn.nfe)),
        "unfinished": int(drawn.unfinished.sum()),
        "seconds": round(drawn.seconds, 3),
        "devices": mesh.size,
    }
    arrays = {"samples": drawn.images, "nfe": drawn.nfe}
    if codec.bins is not None:
        arrays["bins"] = np.array(codec.bins)
    if known or stage.classes is not None:
        arrays["labels"] = _labels(classes, np.arange(request.num))
    if request.animation:
        summary["unfinished_in_animation"] = int(drawn.trajectory_unfinished.sum())
    files.write_arrays(directory / "samples.npz", **arrays)
    files.write_json(directory / DONE, summary)
    written = [directory / "samples.npz", directory / DONE]
    if codec.of_images:
        written = [*_pictures(directory, drawn, codec.bins), *written]
    parts.remove()  # last, for without them all is there
    return {**summary, "files": written}


def _pictures(directory: pathlib.Path, drawn: Generated, bins: int) -> list[pathlib.Path]:
    """Draws the grid and, of samples with a trajectory, the animation."""
    shown, grid = drawn.images[:_SHOWN], directory / "grid.png"
    animation = directory / "noise_to_image.gif"
    for earlier in (grid, animation):  # those of other samples
        earlier.unlink(missing_ok=True)
    with jobs.picture(grid):
        pictures.save_grid(grid, shown, bins=bins)
    if drawn.trajectory is not None:
        with jobs.picture(animation):
            frames = [*drawn.trajectory, *[shown] * 15]  # rests on the samples
            pictures.save_animation(animation, frames, bins=bins)
    return [path for path in (grid, animation) if path.exists()]


def _words(run: TrainedModel) -> str:
    """The sampler's name, and its steps where they are not its own."""
    name, sampling, sde = run.sampler_section()["name"], run.experiment.sampling, run.experiment.sde
    try:
        sampling.sampler.times(sde, None, None)
    except UsageError:  # it needs a number of them
        steps = len(sampling.sampler.times(sde, sampling.steps, sampling.grid)) - 1
        return f"{name}, {steps} steps each"
    return f"{name}, in steps of its own"


def _labels(classes: list[int], rows: np.ndarray) -> np.ndarray:
    """The classes of the samples of these numbers, in turn."""
    return np.asarray(classes)[rows % len(classes)]


def _condition(
    experiment: Experiment, classes: list[int] | None, stage: SmallImages, rows: np.ndarray
) -> Condition:
    """What samples of these numbers are told; of no class if `classes` is None."""
    condition = stage.condition(rows)
    if condition is None:
        condition = condition_in_turn(experiment, len(rows), int(rows[0]))
    return condition if classes is None else {**(condition or {}), "label": _labels(classes, rows)}
