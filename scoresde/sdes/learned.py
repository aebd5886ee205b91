"""A variance-preserving process whose noise schedule is learned (VDM)."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.sdes.base import SDE, check, check_times


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LearnedVP(SDE):
    """alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma) with a monotone network gamma(t).

    Kingma et al. 2021, arXiv:2107.00630, section 3.2 and appendix H:

        gamma(t) = gamma(0) + (gamma(1) - gamma(0)) (h(t) - h(0)) / (h(1) - h(0)),
        h(t) = slope t + sum over i of height_i sigmoid(sharpness_i (t - center_i)),

    with positive slope, heights and sharpnesses, which are stored as logarithms. log_snr = -gamma.
    In continuous time the variational bound depends on the two `ends` alone; the `shape` between
    them only on the variance of its estimate (section 5.1 there; `scoresde.losses.variational`
    trains each for what it changes). `learned_vp` makes one.

    Attributes:
        ends: gamma(0) and gamma(1), [2].
        shape: log_slope [], and log_height, log_sharpness and center, [units] each.
    """

    ends: Array = dataclasses.field(metadata={"learned": True})
    shape: Mapping[str, Array] = dataclasses.field(metadata={"learned": True})
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(self.t_max <= 1, f"LearnedVP needs t_max <= 1, got {self.t_max}.")

    def _rise(self, t):
        """h(t) - h(0)."""
        shape = self.shape
        sharpness, center = jnp.exp(shape["log_sharpness"]), shape["centre"]
        steps = jax.nn.sigmoid(sharpness * (t[..., None] - center))
        steps = steps - jax.nn.sigmoid(-sharpness * center)
        return jnp.exp(shape["log_slope"]) * t + jnp.sum(
            jnp.exp(shape["log_height"]) * steps, axis=-1
        )

    def gamma(self, t):
        """gamma(t), strictly increasing."""
        t = jnp.asarray(t, jnp.result_type(float))
        fraction = self._rise(t) / self._rise(jnp.ones_like(t))
        return self.ends[0] + (self.ends[1] - self.ends[0]) * fraction

    def gamma_dot(self, t):
        """d gamma / dt."""
        t = jnp.asarray(t, jnp.result_type(float))
        return jax.jvp(self.gamma, (t,), (jnp.ones_like(t),))[1]

    def alpha(self, t):
        return jnp.exp(0.5 * jax.nn.log_sigmoid(-self.gamma(t)))

    def sigma(self, t):
        return jnp.exp(0.5 * jax.nn.log_sigmoid(self.gamma(t)))

    def alpha_dot(self, t):
        return self.drift_rate(t) * self.alpha(t)

    def sigma_dot(self, t):
        gamma = self.gamma(t)
        return 0.5 * self.gamma_dot(t) * jax.nn.sigmoid(-gamma) * self.sigma(t)

    def drift_rate(self, t):
        return -0.5 * self.diffusion_squared(t)

    def diffusion_squared(self, t):
        return self.gamma_dot(t) * jax.nn.sigmoid(self.gamma(t))

    def log_snr(self, t):
        return -self.gamma(t)

    def time_of_log_snr(self, log_snr):
        log_snr = jnp.asarray(log_snr, jnp.result_type(float))
        fixed = jax.lax.stop_gradient
        t = SDE.time_of_log_snr(fixed(self), fixed(log_snr))
        # Bisection has no derivative. This is zero, with the derivative of the implicit function.
        error = self.log_snr(t) - log_snr
        return t + (error - fixed(error)) / fixed(self.gamma_dot(t))

    @property
    def prior_std(self):
        return 1.0


def learned_vp(
    *,
    gamma_min: float = -13.3,
    gamma_max: float = 5.0,
    units: int = 32,
    t_min: float = 0.0,
    t_max: float = 1.0,
) -> LearnedVP:
    """The process before training: gamma almost linear in t, the same at every call.

    Args:
        gamma_min: initial gamma(0), minus the largest log-SNR; VDM's value for 8-bit images.
        gamma_max: initial gamma(1).
        units: hidden units of the monotone network, spread evenly over [0, 1].
        t_min: smallest time in use.
        t_max: largest time in use, at most 1.

    Raises:
        UsageError: gamma_min is not below gamma_max, no units, or impossible times.
    """
    check(gamma_min < gamma_max, f"gamma_min={gamma_min} must be below gamma_max={gamma_max}.")
    check(units >= 1, f"A learned schedule needs at least one hidden unit, got {units}.")
    shape = {
        "log_slope": np.zeros(()),
        "log_height": np.full(units, -np.log(units)),
        "log_sharpness": np.full(units, np.log(units)),
        # Checkpoints hold it by this name.
        "centre": (np.arange(units) + 0.5) / units,
    }
    return LearnedVP(
        ends=jnp.array([gamma_min, gamma_max], jnp.float32),
        shape={name: jnp.asarray(value, jnp.float32) for name, value in shape.items()},
        t_min=t_min,
        t_max=t_max,
    )
