"""Editing: SDEdit, and latents that are decoded as another class."""

import dataclasses
import math
import os
from typing import ClassVar

import jax
import numpy as np

from scoresde.condition import Condition
from scoresde.registry import UsageError, member
from scoresde.runs.restoring.inpaint import keeping, read_pictures, white
from scoresde.runs.restoring.masks import check_threshold, read_masks
from scoresde.runs.restoring.request import Model, RestorationRequest, Work
from scoresde.samplers import KeptPixels, Samples, sdedit, time_of_strength, translate

EDITS = {"sdedit": sdedit, "encode": translate}
"""How images are edited, by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EditRequest(RestorationRequest):
    """Samples near the inputs: strokes become pictures, a picture becomes another one.

    Attributes:
        method: "sdedit" (noise of `strength`, and denoising), or "encode" (the latent of an image
            of class `from_label` decoded as one of `label`, by the probability flow).
        strength: of sdedit, 0 .. 1.
        repeats: of sdedit, how often.
        mask: of sdedit, white where pixels are kept: a picture for all inputs, or a folder with one
            for each, of the input's name.
        threshold: as of inpainting.
        from_label: of encode, what the inputs are, a class by number or name.
        tolerance: of encode, of the probability flow, relative and absolute.
    """

    task: ClassVar[str] = "edit"

    method: str = "sdedit"
    strength: float = 0.5
    repeats: int = 1
    mask: str | os.PathLike | None = None
    threshold: int | None = None
    from_label: int | str | None = None
    tolerance: float = 1e-5

    def __post_init__(self):
        super().__post_init__()
        check_threshold(self.threshold, self.mask)
        member("method of editing", EDITS, self.method)
        if not 0 <= self.strength <= 1:
            raise UsageError(f"strength must be 0 .. 1, got {self.strength}.")
        if self.repeats < 0:
            raise UsageError(f"repeats must not be negative, got {self.repeats}.")
        if not 0 < self.tolerance < math.inf:
            raise UsageError(f"tolerance must be a positive number, got {self.tolerance}.")
        if self.method == "encode":
            if self.from_label is None or self.label is None:
                raise UsageError("encode changes a class: give --from_label and --label.")
            if self.mask is not None or self.samples != 1:
                raise UsageError("encode has one result for an image, and keeps no mask.")
        elif self.from_label is not None:
            raise UsageError("--from_label is of the method encode.")

    def prepare(self, model: Model) -> Work:
        if model.experiment.degradation is not None:
            raise UsageError(
                "The network of this run is told of an image, which an edited one has not: take "
                "restore, inpaint or colorize with --method conditional."
            )
        if self.mask is not None:
            model.experiment.sampling.sampler.check_constraint(KeptPixels(model.denoiser.sde))
        inputs = read_pictures(self.input, model, self.fit)
        num, levels = len(inputs.names), model.scale.levels(inputs.arrays)
        guide = model.scale.x_of_levels(levels)
        condition = {"guide": guide, **model.labels(self.label, num)}
        shown, known = {"input": levels}, None
        if self.mask is not None:
            known = read_masks(self.mask, inputs, model.shape[:2], self.threshold)
            condition["keep"] = known
            shown["mask"] = white(known, model)
        record = {"method": self.method}
        if self.method == "encode":
            condition["from_label"] = model.labels(self.from_label, num)["label"]
            record |= {"from_label": self.from_label, "tolerance": self.tolerance}
        else:
            t0 = time_of_strength(model.denoiser.sde, self.strength)
            record |= {"strength": self.strength, "t0": t0, "repeats": self.repeats}

        def finish(x: np.ndarray, rows: np.ndarray) -> np.ndarray:
            if known is None:
                return np.asarray(model.codec.decode(x))
            return keeping(levels, known, model)(x, rows)

        return Work(
            inputs=inputs,
            condition=condition,
            draw=self._encode(model) if self.method == "encode" else self._sdedit(model),
            shown=shown,
            finish=finish,
            record=record,
        )

    def _sdedit(self, model):
        sampling = model.experiment.sampling

        def draw(keys: jax.Array, condition: Condition) -> Samples:
            rest = {name: condition[name] for name in condition if name == "label"}
            return sdedit(
                keys,
                sampling.sampler,
                sampling.clipped(model.denoiser),
                condition["guide"],
                strength=self.strength,
                keep=condition.get("keep"),
                repeats=self.repeats,
                condition=rest or None,
                steps=sampling.steps,
                grid=sampling.grid,
            )

        return draw

    def _encode(self, model):
        def draw(keys: jax.Array, condition: Condition) -> Samples:
            return translate(
                model.denoiser,
                condition["guide"],
                {"label": condition["from_label"]},
                {"label": condition["label"]},
                rtol=self.tolerance,
                atol=self.tolerance,
            )

        return draw
