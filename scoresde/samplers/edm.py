"""The sampler of EDM (Karras et al. 2022, arXiv:2206.00364, algorithms 1 and 2).

The paper writes it for x at the noise level sigma(t) = t, with D the data prediction:

    sigma^  = sigma_i + gamma sigma_i                                 churn, algorithm 2 only
    x^      = x_i + sqrt(sigma^^2 - sigma_i^2) S_noise z
    d       = (x^ - D(x^, sigma^)) / sigma^
    x_next  = x^ + (sigma_next - sigma^) d                            Euler's step
    d'      = (x_next - D(x_next, sigma_next)) / sigma_next
    x_next  = x^ + (sigma_next - sigma^) (d + d') / 2                 Heun's

A process with another alpha is the same one in the variable x / alpha, at the noise level
rho = sigma / alpha. There d is the noise prediction, (x / alpha - D) / rho = (x - alpha D) / sigma,
which a denoiser gives without that difference; and Euler's step is alpha_s (D + rho_s d), which is
DDIM's, since x / alpha = D + rho d.
"""

import dataclasses
import math

import jax.numpy as jnp

from scoresde.keys import normal
from scoresde.registry import UsageError
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.log_snr import from_zero_snr, half_log_snr
from scoresde.times import make_grid, starts_at_finite_log_snr


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDMHeun(GridSampler):
    """EDM's Heun steps in the noise level sigma / alpha, order 2, with optional churn.

    Two evaluations a step; the paper's N counts the last step to no noise, which is here the final
    denoising: N - 1 steps take 2 N - 1 evaluations.

    The grid is EDM's unless another is named (uniform in t where the log-SNR is infinite).

    Attributes:
        s_churn: gamma is s_churn / N, at most sqrt(2) - 1; 0 is deterministic, algorithm 1.
        s_min: noise is added at noise levels from here ...
        s_max: ... to here.
        s_noise: factor on the added noise.
    """

    s_churn: float = 0.0
    s_min: float = 0.0
    s_max: float = math.inf
    s_noise: float = 1.0

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

    def step(self, keys, x, t, s, denoiser, carry):
        sde = denoiser.sde
        if self.s_churn > 0:
            x, t = self._churn(keys, x, t, sde, gamma=carry)
        alpha_s, sigma_t, sigma_s = sde.alpha(s), _noise_level(sde, t), _noise_level(sde, s)

        # In the paper's x, which is x / alpha here; a slope (x - D) / sigma is the noise predicted.
        prediction = denoiser(x, t)
        D, d = prediction.x0, prediction.noise  # d = (x - D) / sigma_t
        x = D + sigma_s * d  # x + (sigma_s - sigma_t) d
        d_next = denoiser(alpha_s * x, s).noise  # d' = (x - D') / sigma_s
        second_order = (sigma_s - sigma_t) * (d_next - d) / 2  # with it, d was (d + d') / 2
        x += jnp.where(from_zero_snr(sde, t, s), 0.0, second_order)
        return alpha_s * x, carry

    def _churn(self, keys, x, t, sde, gamma):
        """Adds noise up to the level sigma (1 + gamma), or t_max's; returns the new x and time."""
        sigma = _noise_level(sde, t)
        gamma = jnp.where((sigma >= self.s_min) & (sigma <= self.s_max), gamma, 0.0)
        later = jnp.maximum(sde.time_of_log_snr(-2 * jnp.log(sigma * (1 + gamma))), t)
        a, b_squared = sde.transition(t, later)
        z = self.s_noise * normal(keys, x.shape, x.dtype)
        return jnp.where(later > t, a * x + jnp.sqrt(b_squared) * z, x), later


def _noise_level(sde, t):
    """sigma / alpha, the paper's sigma: rho above."""
    return jnp.exp(-half_log_snr(sde, t))
