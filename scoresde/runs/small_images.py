"""What a network is told of images in sampling: those of the data, or of a cascade's base model."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np

from scoresde import training
from scoresde.condition import Condition
from scoresde.experiment import model_sections
from scoresde.keys import fold_in, sample_keys
from scoresde.registry import UsageError
from scoresde.runs.generate import condition_in_turn
from scoresde.runs.guided import requested_classes
from scoresde.runs.other_model import other_model
from scoresde.runs.trained_model import TrainedModel
from scoresde.samplers import CascadeStage

# Folded into the key of a run of samples for those of the base model and the noise on them.
_BASE, _TELL = 2**31 - 3, 2**31 - 4


@dataclasses.dataclass(frozen=True)
class SmallImages:
    """Where conditions come from that a degradation makes.

    Attributes:
        tell: numbers of samples -> their condition; None where the data in order say it all.
        record: what samples.json says of it.
        classes: that the base model of a cascade draws in turn; None where it is told none.
    """

    tell: Any
    record: dict[str, Any]
    classes: list[int] | None = None

    def condition(self, rows: np.ndarray) -> Condition:
        """Of the samples of these numbers; None where the data in order say it all."""
        return None if self.tell is None else self.tell(rows)


def small_images(run: TrainedModel, request: Any) -> SmallImages:
    """Where the conditions of a `SampleRequest` come from.

    Raises:
        UsageError: the network is told nothing of images, or nothing that the base model draws; or
            a level of noise that is none.
    """
    experiment, level = run.experiment, request.augmentation or 0.0
    degradation = experiment.degradation
    if request.cascade is None and request.augmentation is None:
        return SmallImages(None, {})
    if degradation is None:
        raise UsageError(
            "This network is told nothing of an image: a cascade, and augmentation, are of one "
            "trained with config.data.condition_from."
        )
    if degradation.augmentation is not None:
        degradation.augmentation.check(level)
    elif level:
        raise UsageError("This network was trained without augmentation, and takes no level of it.")
    key = jax.random.key(request.seed)
    if request.cascade is None:
        return SmallImages(functools.partial(_of_data, experiment, level), {"augmentation": level})
    model = other_model(request.cascade, "--cascade")
    base = model.run
    stage = _stage(model, run, request, level)
    classes = None
    if "label" in base.experiment.condition:
        classes = requested_classes(base.experiment, request.label, request.labels)
    record = {
        "cascade": {
            "workdir": request.cascade,
            "step": model.step,
            "average": model.average,
            "sampler": base.sampler_section(),
            "config": model_sections(base.config),
        },
        "augmentation": level,
        "truncated": request.truncated,
    }

    def put(tree: Any) -> Any:
        return training.split_batch(run.mesh, tree)

    def tell(rows: np.ndarray) -> Condition:
        keys = put(sample_keys(key, len(rows), int(rows[0])))
        told = condition_in_turn(base.experiment, len(rows), int(rows[0]))
        if classes is not None:
            told = {**told, "label": np.asarray(classes, np.int32)[rows % len(classes)]}
        small = stage.sample(fold_in(keys, _BASE), put(told))
        noised = {"level": level, "noised": request.truncated}
        return degradation.tell(fold_in(keys, _TELL), small.x, **noised)

    return SmallImages(tell, record, classes)


def _stage(model, run, request, level):
    """The base model as a stage, whose samples the network can be told."""
    theirs, ours = model.run.experiment, run.experiment
    degradation = ours.degradation
    if theirs.degradation is not None:
        raise UsageError(f"{request.cascade} is told of images itself, and is no cascade's base.")
    if degradation.masked:
        raise UsageError("A cascade is of super-resolution, and this network is told of masks.")
    like = jax.ShapeDtypeStruct((1, *ours.shape), np.float32)
    needed = jax.eval_shape(degradation.observation.forward, like).shape[1:]
    if theirs.shape != needed:
        raise UsageError(
            f"{request.cascade} draws samples of shape {theirs.shape}, and this network is told of "
            f"images of shape {needed}."
        )
    ranges = theirs.codec_without_data.data_range, ours.codec_without_data.data_range
    if ranges[0] != ranges[1]:
        raise UsageError(f"{request.cascade} is of data in {ranges[0]}, this run in {ranges[1]}.")
    denoiser = model.denoiser(theirs.sampling.t_min)
    stage = CascadeStage(
        sampler=theirs.sampling.sampler,
        denoiser=training.replicate(run.mesh, theirs.sampling.clipped(denoiser)),
        shape=theirs.shape,
        steps=theirs.sampling.steps,
        grid=theirs.sampling.grid,
    )
    if not request.truncated:
        return stage
    noise = degradation.augmentation.sde
    if dataclasses.replace(theirs.sde, t_min=noise.t_min) != noise:
        raise UsageError(
            f"A cascade is truncated at the noise that the network was trained for, {noise}; that "
            f"of {request.cascade} is {theirs.sde}: leave out --truncated."
        )
    return stage.until(level)


def _of_data(experiment, level, rows):
    """What is told of the data in order at a level."""
    split = experiment.source.splits
    split = split["test" if "test" in split else "train"]
    keys = sample_keys(jax.random.key(experiment.seed), len(rows), int(rows[0]))
    made = experiment.degraded(keys, split.batch(rows % len(split))["image"], level)
    known = getattr(experiment.network, "condition_names", made.keys())
    return {name: made[name] for name in made if name in known}
