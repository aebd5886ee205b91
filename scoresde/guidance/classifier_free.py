"""Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598).

One network, trained with and without the class, is asked for both, and the difference exaggerated:

    score = score(x) + scale (score(x | y) - score(x))

which by Bayes is the score of p(x) p(y | x)^scale at each t. The convention is that of Imagen,
GLIDE and latent diffusion: scale 0 is the unconditional model, 1 the conditional one, more is
guidance. The w of the paper's equation 6 is scale - 1.
"""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.guidance.base import Guidance, extrapolate
from scoresde.guidance.interval import Interval
from scoresde.predictions import Prediction
from scoresde.registry import UsageError, shown


@dataclasses.dataclass(frozen=True)
class ClassifierFreeGuidance(Guidance):
    """Classifier-free guidance; scale 1 is the conditional model (scale = 1 + w of the paper).

    Both are asked for in one doubled batch, where there is something to say for "no class"; else,
    as of a function of one's own, in two calls, of which the second has the names left out. A
    learned variance is the conditional model's.

    Attributes:
        denoiser: a denoiser that is told the condition, and was trained without it as well.
        scale: 0 is the unconditional model, 1 the conditional one.
        interval: where guidance applies, an `Interval` or (low, high) in noise levels sigma /
            alpha; outside of it the scale is 1. Everywhere if None.
        guided: the name in the condition that guides, or a tuple of such names. Others are told to
            both.

    Raises:
        UsageError: the denoiser is told no such condition, a scale that is no number; when called,
            a condition that lacks a name.
    """

    denoiser: BaseDenoiser
    scale: float
    interval: Interval | tuple[float, float] | None = None
    guided: str | tuple[str, ...] = "label"

    neutral: ClassVar[float] = 1.0
    static: ClassVar[tuple[str, ...]] = ("interval", "guided")

    def __post_init__(self):
        super().__post_init__()
        guided = (self.guided,) if isinstance(self.guided, str) else tuple(self.guided)
        object.__setattr__(self, "guided", guided)
        known = self.denoiser.condition_names
        for name in guided:
            if known is not None and name not in known:
                raise UsageError(
                    f"Classifier-free guidance by {name!r} needs a network that is told it. This "
                    f"one is not, and reads {', '.join(sorted(known)) or 'nothing'}: train one "
                    "with it (config.data.labels=True), or guide by a classifier."
                )

    def check_condition(self, condition: Condition) -> None:
        self._check_names(condition)
        super().check_condition(condition)

    def _check_names(self, condition):
        for name in self.guided:
            if not condition or condition.get(name) is None:
                raise UsageError(
                    f"Classifier-free guidance needs the condition {name!r} of each sample, as "
                    f"condition={{{name!r}: ...}}; it was told {shown(sorted(condition or {}))}."
                )

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        self._check_names(condition)

        def conditional(x):
            return predict(self.denoiser, x, t, condition)

        def guided(x):
            told, untold = self._both(x, t, condition)
            return extrapolate(told, untold, self.scale_at(t, x))

        return (
            conditional(x) if self.is_neutral else self.where_it_applies(t, guided, conditional, x)
        )

    def _both(self, x, t, condition):
        """The predictions with and without the guided names."""
        nothing = {name: self.denoiser.absent(name, condition[name]) for name in self.guided}
        if any(value is None for value in nothing.values()):
            rest = {name: value for name, value in condition.items() if name not in nothing}
            without = predict(self.denoiser, x, t, rest or None)
            return predict(self.denoiser, x, t, condition), without
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        pairs = _pairs((x, t, condition), (x, t, {**condition, **nothing}), len(x))
        both = predict(self.denoiser, *pairs)
        return jax.tree.map(lambda rows: rows[::2], both), jax.tree.map(lambda r: r[1::2], both)


def _pairs(first: Any, second: Any, batch: int) -> Any:
    """Each sample of `first` beside that of `second`, [2 batch, ...].

    Side by side, not one batch after the other: a batch that is split over devices stays so, and
    nothing moves. What is one for all samples is repeated.
    """

    def pair(one, other):
        one, other = (
            value if jnp.ndim(value) else jnp.broadcast_to(value, (batch,))
            for value in (one, other)
        )
        stacked = jnp.stack([one, other], axis=1)
        return stacked.reshape(2 * batch, *stacked.shape[2:])

    return jax.tree.map(pair, first, second)
