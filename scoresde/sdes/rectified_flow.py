"""The straight paths of rectified flow."""

import dataclasses

import jax
import jax.numpy as jnp

from scoresde.sdes.base import SDE, check, check_times


@dataclasses.dataclass(frozen=True, kw_only=True)
class RectifiedFlow(SDE):
    """x_t = (1 - t) x_0 + t noise, straight paths (Liu et al. 2022, arXiv:2209.03003).

    At t = 1 nothing of the data is left: the probability flow, whose velocity is noise - x_0, is
    regular there, but f and g^2 grow like 1 / (1 - t). They are evaluated with 1 - t no smaller
    than `smallest_alpha`, so that stochastic samplers may start at t = 1.
    """

    smallest_alpha: float = 1e-3
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(self.t_max <= 1, f"RectifiedFlow needs t_max <= 1, got {self.t_max}.")

    def alpha(self, t):
        return 1 - jnp.asarray(t, jnp.result_type(float))

    def sigma(self, t):
        return jnp.asarray(t, jnp.result_type(float))

    def alpha_dot(self, t):
        return -jnp.ones_like(self.sigma(t))

    def sigma_dot(self, t):
        return jnp.ones_like(self.sigma(t))

    def drift_rate(self, t):
        return -1 / jnp.maximum(self.alpha(t), self.smallest_alpha)

    def diffusion_squared(self, t):
        return 2 * self.sigma(t) / jnp.maximum(self.alpha(t), self.smallest_alpha)

    def log_snr(self, t):
        t = self.sigma(t)
        return 2 * (jnp.log1p(-t) - jnp.log(t))

    def time_of_log_snr(self, log_snr):
        t = jax.nn.sigmoid(-0.5 * jnp.asarray(log_snr))
        return jnp.clip(t, self.t_min, self.t_max)

    @property
    def prior_std(self):
        return self.t_max
