"""The cosine process."""

import dataclasses
import math

import jax.numpy as jnp

from scoresde.sdes.base import SDE, check, check_times


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine(SDE):
    """Variance preserving with alpha = cos(angle), sigma = sin(angle), angle linear in t.

    The angle runs between the two where log_snr is `log_snr_max` (t = 0) and `log_snr_min` (t = 1):
    Hoogeboom et al. 2023, arXiv:2301.11093, section 3; after Nichol and Dhariwal 2021.

    Attributes:
        log_snr_max: the log-SNR at t = 0.
        log_snr_min: the log-SNR at t = 1.
    """

    log_snr_max: float = 20.0
    log_snr_min: float = -20.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(
            self.log_snr_min < self.log_snr_max,
            f"Cosine needs log_snr_min < log_snr_max, "
            f"got {self.log_snr_min} and {self.log_snr_max}.",
        )

    # Both angles are measured from where they are small, so that neither alpha near t = 1 nor
    # sigma near t = 0 is the difference of two larger numbers.

    @property
    def _first_angle(self):
        return math.atan(math.exp(-0.5 * self.log_snr_max))

    @property
    def _last_complement(self):
        return math.atan(math.exp(0.5 * self.log_snr_min))

    @property
    def _span(self):
        return 0.5 * math.pi - self._first_angle - self._last_complement

    def alpha(self, t):
        return jnp.sin(self._last_complement + (1 - jnp.asarray(t)) * self._span)

    def sigma(self, t):
        return jnp.sin(self._first_angle + jnp.asarray(t) * self._span)

    def alpha_dot(self, t):
        return -self._span * self.sigma(t)

    def sigma_dot(self, t):
        return self._span * self.alpha(t)

    def diffusion_squared(self, t):
        return 2 * self._span * self.sigma(t) / self.alpha(t)

    def time_of_log_snr(self, log_snr):
        angle = jnp.arctan(jnp.exp(-0.5 * jnp.asarray(log_snr)))
        return jnp.clip((angle - self._first_angle) / self._span, self.t_min, self.t_max)

    @property
    def prior_std(self):
        return 1.0
