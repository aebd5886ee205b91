"""Autoguidance: a model guided by a bad version of itself (arXiv:2406.02507)."""

import dataclasses
from typing import ClassVar

import jax
import numpy as np
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, check_denoiser, predict
from scoresde.guidance.base import Guidance, extrapolate
from scoresde.guidance.interval import Interval
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.times import is_traced


@dataclasses.dataclass(frozen=True)
class Autoguidance(Guidance):
    """weaker + scale (denoiser - weaker), both told the same condition (equation 1).

    Names that the weaker model does not know are left out of its condition: an unconditional one
    guides a conditional one, as in EDM2 (arXiv:2312.02696).

    The weaker model errs where the better one does, only more; its difference points to where the
    data are, without the loss of variety of classifier-free guidance.

    Attributes:
        denoiser: the better model.
        weaker: a smaller network, or an earlier checkpoint of the same, on the same process.
        scale: 0 is the weaker model, 1 the better one.
        interval: as of `ClassifierFreeGuidance`.

    Raises:
        UsageError: models of different processes or noise levels, or a scale that is no number.
    """

    denoiser: BaseDenoiser
    weaker: BaseDenoiser
    scale: float
    interval: Interval | tuple[float, float] | None = None

    neutral: ClassVar[float] = 1.0
    static: ClassVar[tuple[str, ...]] = ("interval",)

    def __post_init__(self):
        super().__post_init__()
        check_denoiser(self.weaker)
        ours, theirs = self.denoiser, self.weaker
        if not _same(ours.sde, theirs.sde):
            raise UsageError(
                f"Autoguidance needs two models of one process, not of {ours.sde} and {theirs.sde}."
            )
        if ours.trained_levels != theirs.trained_levels:
            raise UsageError(
                "Autoguidance needs two models trained at the same noise levels, not at "
                f"{ours.trained_levels} and {theirs.trained_levels} (None: continuous times)."
            )

    def check_condition(self, condition: Condition) -> None:
        super().check_condition(condition)
        self.weaker.check_condition(self._told(condition))

    def _told(self, condition):
        """What the weaker model is told of a condition."""
        known = self.weaker.condition_names
        if condition is None or known is None:
            return condition
        return {name: value for name, value in condition.items() if name in known} or None

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        better = predict(self.denoiser, x, t, condition)
        if self.is_neutral:
            return better

        def guided(x):
            worse = predict(self.weaker, x, t, self._told(condition))
            return extrapolate(better, worse, self.scale_at(t, x))

        return self.where_it_applies(t, guided, lambda x: better, x)


def _same(one, other):
    """Whether two processes are one, as far as it is known."""
    if jax.tree.structure(one) != jax.tree.structure(other):
        return False
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(other))
    return all(is_traced(pair) or np.array_equal(*pair) for pair in leaves)
