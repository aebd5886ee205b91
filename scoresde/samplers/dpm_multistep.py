"""DPM-Solver++, the multistep methods (Lu et al. 2022, arXiv:2211.01095).

The data prediction is extrapolated from its values at the last times of the grid: one evaluation a
step. The first steps have fewer values.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from scoresde.keys import normal
from scoresde.samplers.driver import GridSampler
from scoresde.samplers.exponential import (
    History,
    Multistep,
    data_step,
    extrapolate,
    half_log_snr,
    midpoint,
    time_between,
    trapezoid,
)


class _DataMultistep(Multistep):
    def step(self, keys, x, t, s, denoiser, carry):
        sde, x0 = denoiser.sde, denoiser(x, t).x0
        lambda_t = half_log_snr(sde, t)
        h = half_log_snr(sde, s) - lambda_t
        history = carry.push(x0, lambda_t)

        def midpoint_step():  # of DPM-Solver++(2S)
            middle = time_between(sde, t, s, 0.5)
            halfway = data_step(sde, x, x0, t, middle)
            return -jnp.expm1(-h) * (denoiser(halfway, middle).x0 - x0)

        correction = self.correct(
            history, midpoint_step, lambda: extrapolate(history, h, -1, trapezoid)
        )
        x = data_step(sde, x, x0, t, s) + sde.alpha(s) * correction
        return x, x, history


class DPMSolverPP2M(_DataMultistep):
    """DPM-Solver++(2M) (arXiv:2211.01095, algorithm 2): order 2, one evaluation a step."""

    order = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPMSolverPP3M(_DataMultistep):
    """DPM-Solver++(3M): order 3, one evaluation a step.

    The quadratic through three values, integrated exactly. The authors' code halves its second
    derivative, which costs one order; this does not. The first two steps are 2S and 2M.

    Attributes:
        full_start: whether the first step is 2S, with one more evaluation; else it is DDIM, as
            published, and unless it is short, the whole has order 2.
    """

    full_start: bool = True

    order: ClassVar[int] = 3


class SDEDPMSolverPP2M(GridSampler):
    """SDE-DPM-Solver++(2M) (arXiv:2211.01095, appendix B): the reverse SDE, one evaluation a step.

    x_s = sigma_s / sigma_t exp(-h) x + alpha_s (1 - exp(-2h)) D + sigma_s sqrt(1 - exp(-2h)) z,
    where D extrapolates the data prediction to the middle of the step.
    """

    denoise_rules: ClassVar[tuple[str, ...]] = ("tweedie", "none")

    def init(self, x, denoiser, steps):
        return History.empty(x, 2)

    def step(self, keys, x, t, s, denoiser, carry):
        sde, x0 = denoiser.sde, denoiser(x, t).x0
        lambda_t = half_log_snr(sde, t)
        h = half_log_snr(sde, s) - lambda_t
        history = carry.push(x0, lambda_t)
        extrapolated = x0 + extrapolate(history, h, -1, midpoint)
        variance = -jnp.expm1(-2 * h)
        mean = (
            sde.sigma(s) / sde.sigma(t) * jnp.exp(-h) * x + sde.alpha(s) * variance * extrapolated
        )
        x = mean + sde.sigma(s) * jnp.sqrt(variance) * normal(keys, x.shape, x.dtype)
        return x, mean, history
