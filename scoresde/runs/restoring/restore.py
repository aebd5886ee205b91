"""Restoring: images of which something else is seen, as a smaller, a blurred or a JPEG picture."""

import dataclasses
from typing import Any, ClassVar

import jax
import numpy as np

from scoresde.registry import UsageError
from scoresde.runs.restoring.inputs import read_inputs
from scoresde.runs.restoring.methods import observation_of, section
from scoresde.runs.restoring.observed_work import observe, observed_work
from scoresde.runs.restoring.request import Model, RestorationRequest, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class RestoreRequest(RestorationRequest):
    """Samples of images, given what is observed of them.

    Attributes:
        observation: a name or section of `scoresde.observations.OBSERVATIONS`, as
            {"name": "blur", "std": 1.5, "noise": 0.05}; the noise is in units of x.
        method: a name or section of METHODS.
        observe: the inputs are clean pictures, and observed first. Else they are what is observed:
            pictures, or .npy arrays in units of x where that is no picture.
        clip: clip E[x_0 | x_t] to the range of the data after guidance by dps, pigdm or tmpd.
        augmentation: of the method "conditional", the level of noise of what the network is told,
            where it was trained with some; 0 if None.
    """

    task: ClassVar[str] = "restore"

    observation: Any
    method: Any = "pigdm"
    observe: bool = False
    clip: bool = True
    augmentation: float | None = None

    def prepare(self, model: Model) -> Work:
        observation = observation_of(self.observation, model.scale)
        if observation.reads:
            raise UsageError(
                f"{type(observation).__name__} reads {observation.reads[0]!r}, which differs from "
                "image to image; for what is masked there is `inpaint`."
            )
        like = jax.ShapeDtypeStruct((1, *model.shape), np.float32)
        shape = jax.eval_shape(observation.forward, like).shape[1:]
        scale = model.scale
        if self.observe:
            inputs = read_inputs(self.input, model.shape, fit=self.fit)
            if inputs.arrays.dtype != np.uint8:
                raise UsageError("What is to be observed are pictures, and these are arrays.")
            clean = scale.levels(inputs.arrays)
            y = observe(
                jax.random.key(self.seed),
                observation,
                inputs,
                scale.x_of_levels(clean),
                self.batch_size,
            )
            shown = {"input": clean}
        else:
            if self.fit:
                raise UsageError("--fit is of clean pictures, with --observe.")
            inputs = read_inputs(self.input, shape, in_pictures=observation.pictured)
            pictures = inputs.arrays.dtype == np.uint8
            y = scale.x_of_picture(inputs.arrays) if pictures else inputs.arrays
            shown = {}
        if observation.pictured:
            shown["observed"] = enlarged(scale.nearest_levels(y), model.shape)
        condition = {"observation": y, **model.labels(self.label, len(y))}
        record = {
            "observation": section("observation", self.observation),
            "method": section("method", self.method),
            "observe": self.observe,
        }
        return observed_work(
            model,
            inputs,
            observation,
            self.method,
            condition,
            clip=self.clip,
            shown=shown,
            record=record,
            augmentation=self.augmentation,
        )


def enlarged(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Images at most as large as `shape`, of its size: pixels become squares."""
    rows, columns = (
        np.arange(size) * have // size for size, have in zip(shape[:2], images.shape[1:3])
    )
    return images[:, rows][:, :, columns]
