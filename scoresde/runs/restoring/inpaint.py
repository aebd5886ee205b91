"""Inpainting: pixels that are not known, given those that are."""

import dataclasses
import os
from typing import Any, ClassVar

import numpy as np

from scoresde.observations import Inpainting
from scoresde.registry import UsageError
from scoresde.runs.restoring.inputs import read_inputs
from scoresde.runs.restoring.masks import box_mask, check_threshold, read_masks
from scoresde.runs.restoring.methods import section
from scoresde.runs.restoring.observed_work import observed_work
from scoresde.runs.restoring.request import Model, RestorationRequest, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class InpaintRequest(RestorationRequest):
    """Samples of images that have the known pixels of the inputs: those are kept as they are.

    Attributes:
        mask: white where pixels are known: a picture for all inputs, or a folder with one for each,
            of the input's name.
        box: instead, a box of unknown pixels: "TOP,LEFT,HEIGHT,WIDTH", or four integers.
        threshold: levels of a mask from this one on are white, 1 .. 255; None refuses a mask that
            is not black and white.
        method: a name or section of METHODS.
        noise: how far the known pixels may be from those of a sample on its way, in units of x;
            dps needs some.
        clip: clip E[x_0 | x_t] to the range of the data after guidance by dps, pigdm or tmpd.
    """

    task: ClassVar[str] = "inpaint"

    mask: str | os.PathLike | None = None
    box: Any = None
    threshold: int | None = None
    method: Any = "replacement"
    noise: float = 0.0
    clip: bool = True

    def __post_init__(self):
        super().__post_init__()
        if (self.mask is None) == (self.box is None):
            raise UsageError("Give a mask, or a box of pixels that are not known: one of the two.")
        check_threshold(self.threshold, self.mask)

    def prepare(self, model: Model) -> Work:
        inputs = read_pictures(self.input, model, self.fit)
        size, num = model.shape[:2], len(inputs.names)
        if self.box is not None:
            known = np.broadcast_to(box_mask(self.box, size), (num, *size))
        else:
            known = read_masks(self.mask, inputs, size, self.threshold)
        levels = model.scale.levels(inputs.arrays)
        seen = np.where(known[..., None], levels, model.scale.bins // 2)
        condition = {
            "observation": model.scale.x_of_levels(levels),
            "mask": known,
            **model.labels(self.label, num),
        }
        return observed_work(
            model,
            inputs,
            Inpainting(noise=self.noise),
            self.method,
            condition,
            clip=self.clip,
            shown={"observed": seen.astype(np.uint8), "mask": white(known, model)},
            record={"method": section("method", self.method), "noise": self.noise},
            finish=keeping(levels, known, model),
        )


def read_pictures(path, model, fit):
    """The inputs, which are pictures of the model's size."""
    inputs = read_inputs(path, model.shape, fit=fit)
    if inputs.arrays.dtype != np.uint8:
        raise UsageError("These inputs are arrays, and pictures are needed.")
    return inputs


def white(mask, model):
    """Masks [n, height, width] as images, white where they are True."""
    shown = np.where(mask[..., None], model.scale.bins - 1, 0).astype(np.uint8)
    return np.broadcast_to(shown, (len(mask), *model.shape))


def keeping(levels, known, model):
    """The levels of samples but where they are known: there the inputs'."""

    def finish(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        drawn = np.asarray(model.codec.decode(x))
        return np.where(known[rows][..., None], levels[rows], drawn)

    return finish
