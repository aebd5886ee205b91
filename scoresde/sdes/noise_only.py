"""VE and EDM: processes that only add noise, alpha = 1."""

import dataclasses
import math
from typing import ClassVar

import jax.numpy as jnp

from scoresde.sdes.base import SDE, check, check_times


class _NoiseOnly(SDE):
    """Shared by the variance-exploding processes: alpha = 1, no drift."""

    def alpha(self, t):
        return jnp.ones_like(jnp.asarray(t, jnp.result_type(float)))

    def alpha_dot(self, t):
        return jnp.zeros_like(jnp.asarray(t, jnp.result_type(float)))

    def drift_rate(self, t):
        return self.alpha_dot(t)

    def diffusion_squared(self, t):
        return 2 * self.sigma(t) * self.sigma_dot(t)

    def log_snr(self, t):
        return -2 * jnp.log(self.sigma(t))


@dataclasses.dataclass(frozen=True, kw_only=True)
class VE(_NoiseOnly):
    """Variance exploding with geometric sigma (arXiv:2011.13456, equations 9 and 30).

    sigma(t) = sigma_min (sigma_max / sigma_min)^t. It does not vanish at t = 0: the process starts
    from data already blurred by sigma_min. The SMLD levels are sigma(i / (N - 1)).

    Attributes:
        sigma_min: the least noise, > 0.
        sigma_max: the most noise, greater than sigma_min.
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(
            0 < self.sigma_min < self.sigma_max,
            f"VE needs 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}.",
        )

    @property
    def _log_ratio(self):
        return math.log(self.sigma_max / self.sigma_min)

    def sigma(self, t):
        return self.sigma_min * jnp.exp(jnp.asarray(t) * self._log_ratio)

    def sigma_dot(self, t):
        return self.sigma(t) * self._log_ratio

    def time_of_log_snr(self, log_snr):
        t = (-0.5 * jnp.asarray(log_snr) - math.log(self.sigma_min)) / self._log_ratio
        return jnp.clip(t, self.t_min, self.t_max)

    @property
    def prior_std(self):
        return self.sigma_min ** (1 - self.t_max) * self.sigma_max**self.t_max


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDM(_NoiseOnly):
    """sigma(t) = t, alpha = 1 (Karras et al. 2022, arXiv:2206.00364, table 1).

    Most of its times are of noise in which nothing of the data is left, so that a uniform grid
    wastes its steps: the process has a grid of its own.
    """

    t_min: float = 0.002
    t_max: float = 80.0

    default_grid: ClassVar[str] = "edm"

    def __post_init__(self):
        check_times(self)
        check(self.t_min > 0, f"EDM needs t_min > 0 (its noise level), got {self.t_min}.")

    def sigma(self, t):
        return jnp.asarray(t, jnp.result_type(float))

    def sigma_dot(self, t):
        return jnp.ones_like(self.sigma(t))

    def time_of_log_snr(self, log_snr):
        return jnp.clip(jnp.exp(-0.5 * jnp.asarray(log_snr)), self.t_min, self.t_max)

    @property
    def prior_std(self):
        return self.t_max
