"""UniPC (Zhao et al. 2023, arXiv:2302.04867)."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax.numpy as jnp
from jax import Array

from scoresde.registry import UsageError
from scoresde.samplers.driver import GridSampler
from scoresde.samplers.exponential import (
    History,
    data_step,
    extrapolate,
    half_log_snr,
    trapezoid,
    weights,
)


def _linear(nodes: Sequence[Array], h: Array, sign: int) -> list[Array]:
    """`trapezoid` with h in place of exp(h) - 1."""
    return [h / (2 * node) for node in nodes]


# The weights of one value, by what the paper calls B(h): h and exp(h) - 1.
_VARIANTS = {"bh1": _linear, "bh2": trapezoid}


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniPC(GridSampler):
    """UniPC-p: a multistep predictor of order p, corrected to order p + 1, one evaluation a step.

    The evaluation at the predicted x_t, which the next step needs anyway, first corrects x_t itself
    (algorithms 1 and 2, data prediction). Three values or more are interpolated exactly. The first
    steps have fewer values: started with DDIM and its correction, the whole has order 3 at most,
    unless the first steps are shorter than the rest.

    Attributes:
        order: p, from 1 to 3.
        variant: "bh1" is B(h) = h, "bh2" is B(h) = exp(h) - 1, by which one value's weight is
            scaled; where there are more, B(h) cancels.
    """

    order: int = 2
    variant: str = "bh2"

    denoise_rules: ClassVar[tuple[str, ...]] = ("tweedie", "none")

    def __post_init__(self):
        super().__post_init__()
        if self.order not in (1, 2, 3):
            raise UsageError(f"unipc has orders 1, 2 and 3, not {self.order}.")
        if self.variant not in _VARIANTS:
            known = ", ".join(_VARIANTS)
            raise UsageError(f"Unknown variant {self.variant!r} of unipc. Known: {known}.")

    def init(self, x, denoiser, steps):
        return x, jnp.zeros(()), History.empty(x, self.order + 1)

    def _correct(self, before, t, x, s, sde, history):
        """x at s, reached from `before` at t, with its own evaluation, the newest, put to use."""
        h = history.nodes[0] - history.nodes[1]
        theta = list((history.nodes - history.nodes[1]) / h)  # 1, 0, and negative ones
        rows = [[], [0 * h], [*_VARIANTS[self.variant](theta[:1], h, -1), 0 * h]]
        for n in range(2, self.order + 1):
            new, *old = weights([theta[0], *theta[2 : n + 1]], h, -1)
            rows.append([new, 0 * h, *old])
        corrected = data_step(sde, before, history.values[1], t, s)
        corrected += sde.alpha(s) * history.combine(1, rows)
        return jnp.where(history.length > 1, corrected, x)

    def step(self, keys, x, t, s, denoiser, carry):
        sde, x0 = denoiser.sde, denoiser(x, t).x0
        before, time_before, history = carry
        lambda_t = half_log_snr(sde, t)
        history = history.push(x0, lambda_t)
        x = self._correct(before, time_before, x, t, sde, history)
        h = half_log_snr(sde, s) - lambda_t
        correction = extrapolate(history.newest(self.order), h, -1, _VARIANTS[self.variant])
        ahead = data_step(sde, x, x0, t, s) + sde.alpha(s) * correction
        return ahead, ahead, (x, t, history)
