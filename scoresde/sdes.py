"""Forward processes: everything else in the package is derived from alpha(t) and sigma(t).

Every process here is Gaussian given the data,

    x_t = alpha(t) x_0 + sigma(t) noise,          noise ~ N(0, I),

which is the solution of the linear SDE  dx = f(t) x dt + g(t) dw  with

    f = d log alpha / dt,        g^2 = d sigma^2 / dt - 2 f sigma^2

(Song et al. 2021, arXiv:2011.13456, section 3.4; the inverse direction is Karras et al. 2022,
arXiv:2206.00364, appendix B). With the log-signal-to-noise ratio  log_snr = log(alpha^2 / sigma^2)
this also reads  g^2 / sigma^2 = -d log_snr / dt.  Samplers, losses and likelihoods use only these
functions, so a new SDE is one class with an `alpha` and a `sigma`; a closed form is given here
wherever the derived one would lose digits in float32.

Times are arrays of any shape, taken elementwise; `t_min` and `t_max` bound where a process is used.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

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
    """

    t_min: float
    t_max: float

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


def _check(condition: bool, message: str):
    if not condition:
        raise UsageError(message)


def _check_times(sde: SDE):
    _check(
        0 <= sde.t_min < sde.t_max,
        f"{type(sde).__name__} needs 0 <= t_min < t_max, got {sde.t_min} and {sde.t_max}.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _LinearBeta(SDE):
    """Shared by VP and sub-VP: beta(t) linear in t, alpha = exp(-B/2), B = integral of beta."""

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        _check_times(self)
        _check(
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
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        _check_times(self)
        _check(
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
        return self.sigma_max


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDM(_NoiseOnly):
    """sigma(t) = t, alpha = 1 (Karras et al. 2022, arXiv:2206.00364, table 1)."""

    t_min: float = 0.002
    t_max: float = 80.0

    def __post_init__(self):
        _check_times(self)
        _check(self.t_min > 0, f"EDM needs t_min > 0 (its noise level), got {self.t_min}.")

    def sigma(self, t):
        return jnp.asarray(t, jnp.result_type(float))

    def sigma_dot(self, t):
        return jnp.ones_like(self.sigma(t))

    def time_of_log_snr(self, log_snr):
        return jnp.clip(jnp.exp(-0.5 * jnp.asarray(log_snr)), self.t_min, self.t_max)

    @property
    def prior_std(self):
        return self.t_max


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine(SDE):
    """Variance preserving with alpha = cos(angle), sigma = sin(angle), angle linear in t.

    The angle runs between the two where log_snr is `log_snr_max` (t = 0) and `log_snr_min` (t = 1):
    Hoogeboom et al. 2023, arXiv:2301.11093, section 3; after Nichol and Dhariwal 2021.
    """

    log_snr_max: float = 20.0
    log_snr_min: float = -20.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        _check_times(self)
        _check(
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
        _check_times(self)
        _check(self.t_max <= 1, f"RectifiedFlow needs t_max <= 1, got {self.t_max}.")

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteVP(SDE):
    """The N-step Markov chain of DDPM (Ho et al. 2020, arXiv:2006.11239), as a process in t.

    Level i = 0 ... N-1 sits at t = i / (N - 1), where alpha^2 = prod_{j <= i} (1 - beta_j) with
    beta_j linear from beta_min / N to beta_max / N; between levels log alpha is linear in t.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    num_scales: int = 1000
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self):
        _check_times(self)
        _check(
            self.num_scales > 1 and 0 < self.beta_min <= self.beta_max < self.num_scales,
            "DiscreteVP needs num_scales > 1 and 0 < beta_min <= beta_max < num_scales.",
        )

    @property
    def _log_alpha_table(self):
        beta = jnp.linspace(self.beta_min, self.beta_max, self.num_scales) / self.num_scales
        return 0.5 * jnp.cumsum(jnp.log1p(-beta))

    def log_alpha(self, t):
        """log alpha(t)."""
        levels = jnp.arange(self.num_scales, dtype=jnp.result_type(float))
        index = jnp.asarray(t) * (self.num_scales - 1)
        return jnp.interp(index, levels, self._log_alpha_table)

    def alpha(self, t):
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(2 * self.log_alpha(t)))

    def log_snr(self, t):
        log_alpha = self.log_alpha(t)
        return 2 * log_alpha - jnp.log(-jnp.expm1(2 * log_alpha))

    def time_of_log_snr(self, log_snr):
        log_alpha = -0.5 * jax.nn.softplus(-jnp.asarray(log_snr))
        levels = jnp.arange(self.num_scales, dtype=jnp.result_type(float))
        index = jnp.interp(-log_alpha, -self._log_alpha_table, levels)
        return index / (self.num_scales - 1)

    @property
    def prior_std(self):
        return 1.0


SDES = {
    "vp": VP,
    "subvp": SubVP,
    "ve": VE,
    "edm": EDM,
    "cosine": Cosine,
    "rectified_flow": RectifiedFlow,
    "discrete_vp": DiscreteVP,
}
