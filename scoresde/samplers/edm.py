"""The sampler of EDM (Karras et al. 2022, arXiv:2206.00364, algorithms 1 and 2)."""

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from scoresde.keys import normal
from scoresde.registry import UsageError
from scoresde.samplers.driver import GridSampler
from scoresde.samplers.exponential import noise_step
from scoresde.times import make_grid, starts_at_finite_log_snr


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDMHeun(GridSampler):
    """EDM's Heun steps in the noise level sigma / alpha, order 2, with optional churn.

    Written for x / alpha at the noise level rho = sigma / alpha, it is the paper's algorithm 2 for
    every process: noise is added up to rho (1 + gamma), then Heun's method for
    d(x / alpha) / d rho = E[noise | x] steps down. Two evaluations a step; the paper's N counts the
    last step to no noise, which is here the final denoising: N - 1 steps take 2 N - 1 evaluations.

    The grid is EDM's unless another is named (uniform in t where the log-SNR is infinite).

    Attributes:
        s_churn: gamma is s_churn / N, at most sqrt(2) - 1; 0 is deterministic.
        s_min: noise is added at noise levels rho from here ...
        s_max: ... to here.
        s_noise: factor on the added noise.
    """

    s_churn: float = 0.0
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0

    denoise_rules: ClassVar[tuple[str, ...]] = ("tweedie", "none")

    def __post_init__(self):
        super().__post_init__()
        if self.s_churn < 0 or not self.s_min <= self.s_max or not self.s_noise > 0:
            raise UsageError("edm needs s_churn >= 0, s_min <= s_max and s_noise > 0.")

    @property
    def evaluations(self):
        return 2

    def times(self, sde, steps, grid):
        if grid is None:
            grid = "edm" if starts_at_finite_log_snr(sde) else "uniform"
        return make_grid(sde, steps, grid)

    def init(self, x, denoiser, steps):
        return jnp.minimum(self.s_churn / (steps + 1), math.sqrt(2) - 1)

    def _churn(self, keys, x, t, sde, gamma):
        """Adds noise up to the level rho (1 + gamma), or t_max's; returns the new x and time."""
        rho = jnp.exp(-0.5 * sde.log_snr(t))
        gamma = jnp.where((rho >= self.s_min) & (rho <= self.s_max), gamma, 0.0)
        later = jnp.maximum(sde.time_of_log_snr(-2 * jnp.log(rho * (1 + gamma))), t)
        a, b_squared = sde.transition(t, later)
        z = self.s_noise * normal(keys, x.shape, x.dtype)
        return jnp.where(later > t, a * x + jnp.sqrt(b_squared) * z, x), later

    def step(self, keys, x, t, s, denoiser, carry):
        sde = denoiser.sde
        if self.s_churn > 0:
            x, t = self._churn(keys, x, t, sde, carry)
        first = denoiser(x, t)
        ahead = noise_step(sde, first, first.noise, t, s)
        second = denoiser(ahead, s)
        x = noise_step(sde, first, 0.5 * (first.noise + second.noise), t, s)
        return x, x, carry
