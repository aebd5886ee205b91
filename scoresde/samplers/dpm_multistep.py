"""DPM-Solver++, the multistep methods (Lu et al. 2022, arXiv:2211.01095): one evaluation a step.

With m0, m1, m2 the data predictions at the last times of the grid, newest first, h the present step
in lambda, h0 and h1 those before it, r0 = h0 / h and r1 = h1 / h,

    2M    D1  = (m0 - m1) / r0
          x_s = sigma_s / sigma_t x - alpha_s (e^(-h) - 1) (m0 + D1 / 2)

    3M    D1  = (m0 - m1) / r0 + r0 / (r0 + r1) ((m0 - m1) / r0 - (m1 - m2) / r1)
          D2  = ((m0 - m1) / r0 - (m1 - m2) / r1) / (r0 + r1)
          x_s = sigma_s / sigma_t x - alpha_s ((e^(-h) - 1) m0 + phi_2 D1 + phi_3 D2)
          phi_2 = (e^(-h) - 1) / -h - 1,  phi_3 = phi_2 / -h - 1/2

2M is the paper's algorithm 2, 3M its authors' code. The first steps, which have fewer values, are
of lower order: m0 alone is DDIM. For the noise prediction (DPM-Solver, arXiv:2206.00927, whose code
has these methods as well) alpha and sigma change places, and h its sign.

The grid has equal steps in log-SNR, unless another is named.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.numpy import expm1

from scoresde.keys import normal
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.history import History
from scoresde.samplers.log_snr import (
    ddim,
    half_log_snr,
    noise_change,
    step_size,
    time_between,
)

# Below so many steps the authors' code lowers the order of the last of them.
_FEW_STEPS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multistep(GridSampler):
    """What the multistep methods share.

    Attributes:
        lower_order_final: whether in a run of fewer than 10 steps the last step is of order 1 and
            the one before it of order 2 at most, as in the authors' code.
        max_step_ratio: None, as published, or the largest ratio of a step in lambda to the step
            before it: a longer one is of order 1. A grid uniform in t ends with a step many times
            as long as the one before, which extrapolates too far; 4 is a good value there.
    """

    lower_order_final: bool = True
    max_step_ratio: float | None = None

    order: ClassVar[int]
    default_grid: ClassVar[str] = "log_snr"

    def __post_init__(self):
        super().__post_init__()
        if self.max_step_ratio is not None and not self.max_step_ratio > 0:
            raise UsageError(f"max_step_ratio must be positive, got {self.max_step_ratio}.")

    def init(self, x, denoiser, steps):
        return History.empty(x, self.order, steps)

    def order_of_step(self, history: History, h: Array) -> Array:
        """The order of the step h that starts at the newest value of the history."""
        lower = self.lower_order_final & (history.steps < _FEW_STEPS)
        order = history.order(self.order, lower)
        if self.max_step_ratio is None:
            return order
        h0 = history.nodes[0] - history.nodes[1]
        return jnp.where(h > self.max_step_ratio * h0, 1, order)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfEither(Multistep):
    """A multistep method for either prediction.

    Attributes:
        prediction: which is extrapolated, "data" (DPM-Solver++) or "noise" (DPM-Solver).
    """

    prediction: str = "data"

    def __post_init__(self):
        super().__post_init__()
        if self.prediction not in ("data", "noise"):
            raise UsageError(f"Unknown prediction {self.prediction!r}. Known: data, noise.")

    def chosen(self, prediction: Prediction) -> Array:
        """Which of the two is extrapolated."""
        return prediction.x0 if self.prediction == "data" else prediction.noise


class DPMSolverPP2M(_OfEither):
    """DPM-Solver++(2M) (arXiv:2211.01095, algorithm 2): order 2, one evaluation a step."""

    order = 2

    def step(self, keys, x, t, s, denoiser, carry):
        sde, prediction, h = denoiser.sde, denoiser(x, t), step_size(denoiser.sde, t, s)
        history = carry.push(self.chosen(prediction), half_log_snr(sde, t))
        m0, m1 = history.values
        r0 = (history.nodes[0] - history.nodes[1]) / h
        D1 = jnp.where(self.order_of_step(history, h) > 1, (m0 - m1) / r0, 0.0)
        if self.prediction == "data":
            x = sde.sigma(s) / sde.sigma(t) * x - sde.alpha(s) * expm1(-h) * (m0 + D1 / 2)
        else:  # alpha_s / alpha_t x - sigma_s (e^h - 1) (m0 + D1 / 2)
            x = ddim(sde, prediction, s) - sde.sigma(s) * expm1(h) * D1 / 2
        return x, history


@dataclasses.dataclass(frozen=True, kw_only=True)
class DPMSolverPP3M(_OfEither):
    """DPM-Solver++(3M), as in its authors' code: order 2, one evaluation a step.

    D2 is half the second derivative there, and the first steps have lower order.

    Attributes:
        full_order: order 3 instead (but for the last steps of `lower_order_final`), with the whole
            second derivative, and a single step of order 2 (2S) for the first, which takes one more
            evaluation.
    """

    full_order: bool = False

    order: ClassVar[int] = 3

    def total_evaluations(self, steps):
        return steps + jnp.minimum(steps, 1) if self.full_order else steps

    def step(self, keys, x, t, s, denoiser, carry):
        sde, prediction, h = denoiser.sde, denoiser(x, t), step_size(denoiser.sde, t, s)
        history = carry.push(self.chosen(prediction), half_log_snr(sde, t))
        m0, m1, m2 = history.values
        h0, h1 = history.nodes[:-1] - history.nodes[1:]
        r0, r1 = h0 / h, h1 / h
        D1_0, D1_1 = (m0 - m1) / r0, (m1 - m2) / r1
        D1 = D1_0 + r0 / (r0 + r1) * (D1_0 - D1_1)
        D2 = (2 if self.full_order else 1) * (D1_0 - D1_1) / (r0 + r1)
        size, z = (sde.alpha(s), -h) if self.prediction == "data" else (sde.sigma(s), h)
        phi_1 = expm1(z)
        phi_2 = phi_1 / z - 1
        phi_3 = phi_2 / z - 1 / 2
        order = self.order_of_step(history, h)
        lower = [jnp.zeros_like(x), phi_1 * D1_0 / 2]
        more = jnp.select([order == 1, order == 2], lower, phi_2 * D1 + phi_3 * D2)
        if self.full_order:
            more = jax.lax.cond(
                history.taken > 1,
                lambda: more,
                lambda: phi_1 * self._change_within(prediction, t, s, denoiser),
            )
        # sigma_s / sigma_t x - alpha_s phi_1 m0, or alpha_s / alpha_t x - sigma_s phi_1 m0
        return ddim(sde, prediction, s) - size * more, history

    def _change_within(self, prediction, t, s, denoiser):
        """m at the middle of the step less m0: with phi_1, what 2S adds to the step of order 1."""
        sde, m = denoiser.sde, time_between(denoiser.sde, t, s, 1 / 2)
        middle = denoiser(ddim(sde, prediction, m), m)
        if self.prediction == "data":
            return middle.x0 - prediction.x0
        return noise_change(sde, prediction, middle.noise, t, s)


class SDEDPMSolverPP2M(Multistep):
    """SDE-DPM-Solver++(2M) (arXiv:2211.01095, appendix B): the reverse SDE, one evaluation a step.

    x_s = sigma_s / sigma_t e^(-h) x + alpha_s (1 - e^(-2h)) (m0 + D1 / 2)
              + sigma_s sqrt(1 - e^(-2h)) z,   with the D1 of 2M.
    """

    order = 2

    def step(self, keys, x, t, s, denoiser, carry):
        sde, m0, h = denoiser.sde, denoiser(x, t).x0, step_size(denoiser.sde, t, s)
        history = carry.push(m0, half_log_snr(sde, t))
        r0 = (history.nodes[0] - history.nodes[1]) / h
        D1 = jnp.where(self.order_of_step(history, h) > 1, (m0 - history.values[1]) / r0, 0.0)
        variance = -expm1(-2 * h)
        mean = sde.sigma(s) / sde.sigma(t) * jnp.exp(-h) * x
        mean += sde.alpha(s) * variance * (m0 + D1 / 2)
        z = normal(keys, x.shape, x.dtype)
        return mean + sde.sigma(s) * jnp.sqrt(variance) * z, history
