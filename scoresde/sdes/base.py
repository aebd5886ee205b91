"""The interface of a forward process, and all that follows from its alpha and sigma."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.plain import check_fields
from scoresde.registry import UsageError


def expand(t: Array, x: Array) -> Array:
    """Appends axes of length one to `t` [batch] (or a scalar) until it broadcasts against `x`."""
    return jnp.reshape(t, jnp.shape(t) + (1,) * (jnp.ndim(x) - jnp.ndim(t))) if jnp.ndim(t) else t


def _derivative(function, t):
    """d function / dt for an elementwise function."""
    t = jnp.asarray(t, jnp.result_type(float))
    return jax.jvp(function, (t,), (jnp.ones_like(t),))[1]


class SDE:
    """A forward process. Subclasses are frozen dataclasses with `alpha` and `sigma`.

    Instances are JAX pytrees: their fields are static (changing one compiles anew) unless declared
    with `dataclasses.field(metadata={"learned": True})`, which makes the field differentiable data.

    Attributes:
        t_min: the time of the data, or next to it, from 0 on.
        t_max: the time of the prior.
        chain_steps: the steps of a process that is a Markov chain; None for one that is continuous.
    """

    t_min: float
    t_max: float

    chain_steps: int | None = None

    # The grid of times that suits the process, a name of `scoresde.times.GRIDS`.
    default_grid: ClassVar[str] = "uniform"

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        jax.tree_util.register_pytree_node(cls, _flatten, functools.partial(_unflatten, cls))

    # The two functions that define a process.

    def alpha(self, t: ArrayLike) -> Array:
        """The factor on the data in x_t. Same shape as `t`."""
        raise TypeError(f"{type(self).__name__} must define alpha(t).")

    def sigma(self, t: ArrayLike) -> Array:
        """The standard deviation of the noise in x_t. Same shape as `t`."""
        raise TypeError(f"{type(self).__name__} must define sigma(t).")

    # Derived; a subclass overrides what it knows in closed form.

    def alpha_dot(self, t: ArrayLike) -> Array:
        """d alpha / dt."""
        return _derivative(self.alpha, t)

    def sigma_dot(self, t: ArrayLike) -> Array:
        """d sigma / dt."""
        return _derivative(self.sigma, t)

    def log_snr(self, t: ArrayLike) -> Array:
        """log(alpha^2 / sigma^2), strictly decreasing in t."""
        return 2 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def time_of_log_snr(self, log_snr: ArrayLike) -> Array:
        """The inverse of `log_snr`, clipped to [t_min, t_max]. By bisection unless overridden."""
        log_snr = jnp.asarray(log_snr)

        def halve(_, bounds):
            low, high = bounds
            middle = 0.5 * (low + high)
            above = self.log_snr(middle) > log_snr  # log_snr falls with t
            return jnp.where(above, middle, low), jnp.where(above, high, middle)

        bounds = jnp.full_like(log_snr, self.t_min), jnp.full_like(log_snr, self.t_max)
        low, high = jax.lax.fori_loop(0, 64, halve, bounds)
        return 0.5 * (low + high)

    def drift_rate(self, t: ArrayLike) -> Array:
        """f(t) of the drift f(t) x, per unit of t."""
        return self.alpha_dot(t) / self.alpha(t)

    def diffusion_squared(self, t: ArrayLike) -> Array:
        """g(t)^2, per unit of t."""
        sigma = self.sigma(t)
        return 2 * sigma * (self.sigma_dot(t) - self.drift_rate(t) * sigma)

    def drift(self, x: Array, t: Array) -> Array:
        """f(t) x for x [batch, ...] and t [batch]."""
        return expand(self.drift_rate(t), x) * x

    def diffusion(self, t: ArrayLike) -> Array:
        """g(t)."""
        return jnp.sqrt(self.diffusion_squared(t))

    def marginal(self, x0: Array, t: Array) -> tuple[Array, Array]:
        """Mean [batch, ...] and standard deviation [batch] of p(x_t | x_0)."""
        return expand(self.alpha(t), x0) * x0, self.sigma(t)

    def perturb(self, x0: Array, noise: Array, t: Array) -> Array:
        """x_t = alpha(t) x0 + sigma(t) noise, for x0 and noise [batch, ...] and t [batch]."""
        return expand(self.alpha(t), x0) * x0 + expand(self.sigma(t), x0) * noise

    def transition(self, s: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
        """The forward step from s to t > s: x_t = a x_s + b z. Returns (a, b^2).

        a = alpha_t / alpha_s and b^2 = sigma_t^2 - a^2 sigma_s^2. On the grids of DDPM and SMLD
        these are sqrt(1 - beta_i), beta_i and 1, sigma_i^2 - sigma_{i-1}^2.
        """
        a = self.alpha(t) / self.alpha(s)
        return a, jnp.maximum(self.sigma(t) ** 2 - a**2 * self.sigma(s) ** 2, 0.0)

    # The prior, N(0, prior_std^2 I), that x at t_max is taken to follow.

    @property
    def prior_std(self) -> float | Array:
        """Standard deviation of the prior."""
        return self.sigma(self.t_max)

    def prior_sample(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Draws from the prior, [shape]."""
        return self.prior_std * jax.random.normal(key, shape)

    def prior_log_prob(self, z: Array) -> Array:
        """log density of the prior in nats for z [batch, ...]; returns [batch]."""
        dims = z[0].size
        square = jnp.sum(jnp.reshape(z / self.prior_std, (z.shape[0], -1)) ** 2, axis=1)
        return -0.5 * square - 0.5 * dims * jnp.log(2 * jnp.pi) - dims * jnp.log(self.prior_std)


def _split_fields(sde):
    learned, static = [], []
    for field in dataclasses.fields(sde):
        (learned if field.metadata.get("learned") else static).append(field.name)
    return learned, static


def _flatten(sde):
    learned, static = _split_fields(sde)
    return [getattr(sde, n) for n in learned], tuple((n, getattr(sde, n)) for n in static)


def _unflatten(cls, static, learned):
    # Not through __init__: inside a JAX transformation the learned values may be placeholders.
    sde = object.__new__(cls)
    names = [f.name for f in dataclasses.fields(cls) if f.metadata.get("learned")]
    for name, value in (*static, *zip(names, learned)):
        object.__setattr__(sde, name, value)
    return sde


def learned_fields(sde: SDE) -> dict[str, Any]:
    """The learned fields of a process by name: a part of the parameters of a model."""
    learned, _ = _split_fields(sde)
    return {name: getattr(sde, name) for name in learned}


def with_learned_fields(sde: SDE, fields: Mapping[str, Any]) -> SDE:
    """The process with these values of its learned fields; inverts `learned_fields`."""
    return dataclasses.replace(sde, **fields)


def check(condition: bool, message: str) -> None:
    """Raises UsageError with `message` unless `condition`."""
    if not condition:
        raise UsageError(message)


def check_times(sde: SDE) -> None:
    """Raises UsageError unless 0 <= t_min < t_max, and numbers are numbers."""
    check_fields(sde)
    check(
        0 <= sde.t_min < sde.t_max,
        f"{type(sde).__name__} needs 0 <= t_min < t_max, got {sde.t_min} and {sde.t_max}.",
    )
