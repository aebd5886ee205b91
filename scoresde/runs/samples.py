"""The samples of a run on disk: their pixels, how they were drawn, and pictures of them."""

import dataclasses
import time
from typing import Any

import jax
import numpy as np

from scoresde import files
from scoresde.data import pictures
from scoresde.experiment import as_json, model_sections
from scoresde.registry import UsageError
from scoresde.runs.generate import condition_in_turn, generate, recording
from scoresde.runs.trained_model import TrainedModel
from scoresde.runs.workdir import result_directory

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
        animation: whether an animation of noise that becomes images is written as well.
    """

    num: int = 64
    batch_size: int = 64
    seed: int = 0
    step: int | None = None
    average: str | None = "ema"
    label: int | str | None = None
    animation: bool = False

    def __post_init__(self):
        if self.num < 1 or self.batch_size < 1:
            raise UsageError("num and batch_size must be at least 1.")


def draw_samples(
    run: TrainedModel, request: SampleRequest, *, name: str | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Draws samples and writes them to `workdir/samples/NAME/`.

    samples.npz (the levels of images), samples.json (how they were drawn), grid.png and, where it
    is asked for, noise_to_image.gif: numbers first, then pictures.

    Args:
        run: the run.
        request: which samples.
        name: of the results' directory; step_STEP if None.
        overwrite: replace results that are there.

    Returns:
        What samples.json holds, and the "files" that were written. On other processes than the
        first, nothing.

    Raises:
        UsageError: a class that there is not, a checkpoint that is not there, or results that are.
    """
    experiment, codec = run.experiment, run.experiment.codec
    condition = _condition(experiment, request)
    if request.animation and not codec.of_images:
        raise UsageError("An animation shows images, and the data are none: leave it out.")
    step = run.step(request.step)
    denoiser = run.denoiser(step, request.average, experiment.sampling.t_min)
    directory = result_directory(run.workdir / "samples" / (name or f"step_{step}"), overwrite)
    sampling, stride = experiment.sampling, None
    if request.animation:
        sampling, stride = recording(sampling)
    start = time.perf_counter()
    drawn = generate(
        jax.random.key(request.seed),
        experiment,
        denoiser,
        request.num,
        mesh=run.mesh,
        batch_size=request.batch_size,
        condition=condition,
        sampling=sampling,
        trajectory=stride,
    )
    seconds = time.perf_counter() - start
    if jax.process_index() != 0:
        return {}
    arrays = {"samples": drawn.images, "nfe": drawn.nfe}
    if condition is not None and "label" in condition:
        arrays["labels"] = condition["label"]
    files.write_arrays(directory / "samples.npz", **arrays)
    summary = {
        "num": request.num,
        "seed": request.seed,
        "step": step,
        "parameters": request.average or "raw",
        "sampler": as_json(run.config).get("sampler"),
        "config": model_sections(run.config),
        "t_min": denoiser.sde.t_min,
        "nfe_mean": float(np.mean(drawn.nfe)),
        "nfe_max": int(np.max(drawn.nfe)),
        "unfinished": int(drawn.unfinished.sum()),
        "bins": codec.bins,
        "seconds": round(seconds, 3),
        "devices": run.mesh.size,
    }
    files.write_json(directory / DONE, summary)
    written = [directory / "samples.npz", directory / DONE]
    if not codec.of_images:
        return {**summary, "files": written}
    shown, picture = drawn.images[:_SHOWN], directory / "grid.png"
    pictures.save_grid(picture, shown, bins=codec.bins)
    animation = directory / "noise_to_image.gif"
    if request.animation:
        frames = [*drawn.trajectory[:, : len(shown)], *[shown] * 15]  # rests on the samples
        pictures.save_animation(animation, frames, bins=codec.bins)
        written.append(animation)
    else:  # one of earlier samples
        animation.unlink(missing_ok=True)
    return {**summary, "files": [picture, *written]}


def _condition(experiment: Any, request: SampleRequest) -> Any:
    condition = condition_in_turn(experiment, request.num)
    if request.label is None:
        return condition
    if condition is None or "label" not in condition:
        raise UsageError("A label needs a network trained with config.data.labels=True.")
    label = experiment.source.label_number(request.label)
    return {**condition, "label": np.full(request.num, label)}
