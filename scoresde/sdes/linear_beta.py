"""VP and sub-VP: the processes of a beta(t) linear in t."""

import dataclasses

import jax
import jax.numpy as jnp

from scoresde.sdes.base import SDE, check, check_times


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LinearBeta(SDE):
    """Shared by VP and sub-VP: beta(t) linear in t, alpha = exp(-B/2), B = integral of beta.

    Attributes:
        beta_min: beta(0), per unit of t; 0 <= beta_min <= beta_max.
        beta_max: beta(1), per unit of t; > 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(
            0 <= self.beta_min <= self.beta_max and self.beta_max > 0,
            f"beta_min and beta_max must satisfy 0 <= beta_min <= beta_max, "
            f"got {self.beta_min} and {self.beta_max}.",
        )

    def beta(self, t):
        """beta(t), per unit of t."""
        return self.beta_min + jnp.asarray(t) * (self.beta_max - self.beta_min)

    def integrated_beta(self, t):
        """B(t), the integral of beta from 0 to t."""
        t = jnp.asarray(t)
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def _time_of_integrated_beta(self, integral):
        # The root of the quadratic B(t) in the form that does not cancel for small B.
        slope = self.beta_max - self.beta_min
        t = 2 * integral / (self.beta_min + jnp.sqrt(self.beta_min**2 + 2 * slope * integral))
        return jnp.clip(t, self.t_min, self.t_max)

    def alpha(self, t):
        return jnp.exp(-0.5 * self.integrated_beta(t))

    def alpha_dot(self, t):
        return -0.5 * self.beta(t) * self.alpha(t)

    def drift_rate(self, t):
        return -0.5 * self.beta(t)

    @property
    def prior_std(self):
        return 1.0


class VP(_LinearBeta):
    """Variance preserving with linear beta (arXiv:2011.13456, equations 11 and 32).

    dx = -beta(t)/2 x dt + sqrt(beta(t)) dw;  alpha^2 = exp(-B), sigma^2 = 1 - exp(-B).
    """

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(-self.integrated_beta(t)))

    def sigma_dot(self, t):
        return 0.5 * self.beta(t) * self.alpha(t) ** 2 / self.sigma(t)

    def diffusion_squared(self, t):
        return self.beta(t)

    def log_snr(self, t):
        integral = self.integrated_beta(t)
        return -integral - jnp.log(-jnp.expm1(-integral))

    def time_of_log_snr(self, log_snr):
        return self._time_of_integrated_beta(jax.nn.softplus(-jnp.asarray(log_snr)))


class SubVP(_LinearBeta):
    """Sub-variance preserving (arXiv:2011.13456, equations 28 and 29).

    The drift of VP with g^2 = beta (1 - exp(-2B));  alpha = exp(-B/2), sigma = 1 - exp(-B).
    """

    def sigma(self, t):
        return -jnp.expm1(-self.integrated_beta(t))

    def sigma_dot(self, t):
        return self.beta(t) * self.alpha(t) ** 2

    def diffusion_squared(self, t):
        return -self.beta(t) * jnp.expm1(-2 * self.integrated_beta(t))

    def log_snr(self, t):
        integral = self.integrated_beta(t)
        return -integral - 2 * jnp.log(-jnp.expm1(-integral))

    def time_of_log_snr(self, log_snr):
        # sigma / alpha = 2 sinh(B / 2)
        ratio = jnp.exp(-0.5 * jnp.asarray(log_snr))
        return self._time_of_integrated_beta(2 * jnp.arcsinh(0.5 * ratio))
