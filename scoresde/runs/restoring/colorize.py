"""Colorization: the colors of gray images."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from scoresde.observations import Colorization
from scoresde.registry import UsageError
from scoresde.runs.restoring.inpaint import read_pictures
from scoresde.runs.restoring.methods import section
from scoresde.runs.restoring.observed_work import observed_work
from scoresde.runs.restoring.request import Model, RestorationRequest, Work


@dataclasses.dataclass(frozen=True, kw_only=True)
class ColorizeRequest(RestorationRequest):
    """Samples of color images whose gray image is the input's: R + G + B of each pixel is kept.

    Attributes:
        method: a name or section of METHODS.
        noise: as of inpainting; dps needs some.
        observe: the inputs are in color, and their colors are forgotten first.
        clip: clip E[x_0 | x_t] to the range of the data after guidance by dps, pigdm or tmpd.
    """

    task: ClassVar[str] = "colorize"

    method: Any = "replacement"
    noise: float = 0.0
    observe: bool = False
    clip: bool = True

    def prepare(self, model: Model) -> Work:
        if model.shape[2] != 3:
            raise UsageError(
                f"Colorization is of images of three channels, and the run's have {model.shape[2]}."
            )
        inputs = read_pictures(self.input, model, self.fit)
        colored = (inputs.arrays != inputs.arrays[..., :1]).any(axis=(1, 2, 3))
        if colored.any() and not self.observe:
            file = inputs.files[int(colored.argmax())]
            raise UsageError(f"{str(file)!r} is in color: give --observe to forget its colors.")
        scale, observation = model.scale, Colorization(noise=self.noise)
        levels = scale.levels(inputs.arrays)
        totals = levels.sum(axis=-1, dtype=int)
        x = scale.x_of_levels(levels)
        gray = np.round(totals / 3).astype(np.uint8)[..., None]
        condition = {
            "observation": np.asarray(observation.forward(x)),
            **model.labels(self.label, len(x)),
        }
        shown = {"observed": np.broadcast_to(gray, levels.shape)}
        return observed_work(
            model,
            inputs,
            observation,
            self.method,
            condition,
            clip=self.clip,
            shown={"input": levels, **shown} if self.observe else shown,
            record={
                "method": section("method", self.method),
                "noise": self.noise,
                "observe": self.observe,
            },
            finish=lambda x, rows: with_total(scale.real_levels(x), totals[rows], scale.bins),
        )


def with_total(levels: np.ndarray, totals: np.ndarray, bins: int) -> np.ndarray:
    """Whole levels near to real ones whose sum over the channels is given: uint8 [..., 3].

    A color is moved along gray to its total, then toward gray until it has no channel below or
    above all levels, which keeps that; what rounding down takes away goes to those that lost most.

    Args:
        levels: real levels [..., 3]; what is not finite is gray.
        totals: integers [...], 0 .. 3 (bins - 1).
        bins: number of levels.
    """
    top, gray = bins - 1, totals[..., None] / 3
    levels = np.where(np.isfinite(levels).all(axis=-1, keepdims=True), levels, gray)
    offset = levels - levels.mean(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(offset > 0, (top - gray) / offset, gray / -offset)
    room = np.where(offset == 0, 1.0, room).min(axis=-1, keepdims=True)
    levels = np.clip(gray + np.minimum(room, 1.0) * offset, 0, top)
    whole = np.floor(levels)
    missing = totals - whole.sum(axis=-1)
    order = np.argsort(np.argsort(whole - levels, axis=-1, kind="stable"), axis=-1)
    return (whole + (order < missing[..., None])).astype(np.uint8)
