"""What the bounds share: their result, their one loop over the network, and the prior's cost."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.denoiser import BaseDenoiser
from scoresde.keys import fold_in, normal
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.sdes import SDE, expand
from scoresde.times import is_traced


class Bound(NamedTuple):
    """A lower bound per sample, in nats; every field has a leading [batch].

    nats = -(prior + diffusion + reconstruction).

    Attributes:
        nats: an unbiased estimate of the bound.
        stderr: its standard error over independent repeats; NaN with one, which says nothing about
            its own error.
        prior: KL divergence at t_max from the prior, exact.
        diffusion: cost of the reverse process from t_max to t_min.
        reconstruction: -E[log p(x | x_tmin)].
        nfe: evaluations of the denoiser.
    """

    nats: Array
    stderr: Array
    prior: Array
    diffusion: Array
    reconstruction: Array
    nfe: Array


def make_bound(prior: Array, diffusion: Array, reconstruction: Array, nfe: int) -> Bound:
    """The bound of prior [batch], and of repeats [repeats, batch] of the other costs."""
    total = diffusion + reconstruction
    repeats, batch = total.shape
    spread = total - jnp.mean(total, axis=0)
    variance = jnp.sum(spread**2, axis=0) / (repeats - 1)  # with one repeat this is 0 / 0
    diffusion, reconstruction = jnp.mean(diffusion, axis=0), jnp.mean(reconstruction, axis=0)
    return Bound(
        nats=-(prior + diffusion + reconstruction),
        stderr=jnp.sqrt(variance / repeats),
        prior=prior,
        diffusion=diffusion,
        reconstruction=reconstruction,
        nfe=jnp.full((batch,), nfe, jnp.int32),
    )


def evaluate(
    keys: Array,
    denoiser: BaseDenoiser,
    x0: Array,
    times: Array,
    measure: Callable[..., Any],
) -> Any:
    """Measures the denoiser on x_t ~ q(x_t | x0), one time of each sample after another.

    Args:
        keys: one key per sample, [batch].
        denoiser: the denoiser.
        x0: [batch, ...].
        times: [n, batch].
        measure: (keys, denoiser, x0, noise, t) -> pytree of [batch], with keys and t [batch].

    Returns:
        The measurements, [n, batch]. One time of the batch at a time is in memory.
    """

    def step(number, t):
        noise_keys = fold_in(keys, 2 * number)
        noise = normal(noise_keys, x0.shape, x0.dtype)
        return number + 1, measure(fold_in(keys, 2 * number + 1), denoiser, x0, noise, t)

    return jax.lax.scan(step, 0, times)[1]


def sum_squares(x: Array) -> Array:
    """||x||^2 of each sample, [batch]."""
    return jnp.sum(jnp.reshape(x, (x.shape[0], -1)) ** 2, axis=1)


def squared_errors(
    sde: SDE, prediction: Prediction, x0: Array, noise: Array, t: Array
) -> tuple[Array, Array]:
    """||predicted noise - noise||^2 and ||predicted x0 - x0||^2, each [batch].

    The two errors are the same but for a factor -sigma / alpha; they are read off the one that
    keeps its digits, the noise where there is little of it and x0 where there is little left of it.
    """
    log_snr = sde.log_snr(t)
    little_noise = log_snr > 0
    difference = jnp.where(expand(little_noise, x0), prediction.noise - noise, prediction.x0 - x0)
    square = sum_squares(difference)
    noise_error = jnp.exp(jnp.minimum(log_snr, 0.0)) * square
    data_error = jnp.exp(-jnp.maximum(log_snr, 0.0)) * square
    return noise_error, data_error


def prior_cost(sde: SDE, x: Array) -> Array:
    """KL(q(x_tmax | x) || N(0, prior_std^2 I)) in nats, [batch], for x [batch, ...]."""
    dims = math.prod(x.shape[1:])
    sigma, prior_std = sde.sigma(sde.t_max), sde.prior_std
    excess = (sigma - prior_std) * (sigma + prior_std) / prior_std**2
    mean_square = (sde.alpha(sde.t_max) / prior_std) ** 2 * sum_squares(x)
    return 0.5 * (mean_square + dims * (excess - jnp.log1p(excess)))


def level_values(levels: ArrayLike, bins: int, data_range: tuple[float, float]) -> Array:
    """Levels k in the denoiser's range: low + (high - low) k / (bins - 1), float32."""
    low, high = data_range
    return low + (high - low) / (bins - 1) * jnp.asarray(levels, jnp.float32)


# Checks of what users give.


def check_levels(levels: ArrayLike, bins: int, data_range: tuple[float, float]) -> Array:
    """The levels as int32, [batch, ...].

    Raises:
        UsageError: they are not integers in 0 .. bins - 1, or bins or data_range make no sense.
    """
    low, high = data_range
    if bins < 2 or not low < high:
        raise UsageError(
            f"A bound on discrete images needs bins >= 2 and data_range low < high, "
            f"got {bins} and {data_range}."
        )
    traced = isinstance(levels, jax.core.Tracer)
    levels = levels if traced else np.asarray(levels)
    if not jnp.issubdtype(levels.dtype, jnp.integer) or levels.ndim < 2:
        raise UsageError(
            f"This bound takes the integer levels of images, [batch, ...], got {levels.dtype} of "
            f"shape {levels.shape}; for real values use score_flow_bound or log_prob."
        )
    if not traced and levels.size and (levels.min() < 0 or levels.max() >= bins):
        raise UsageError(
            f"Levels must lie in 0 .. {bins - 1}, got {levels.min()} .. {levels.max()}; "
            "give the number of grey levels as bins."
        )
    return jnp.asarray(levels, jnp.int32)


def check_counts(**counts: int) -> None:
    """Raises UsageError for a number that is not a positive integer."""
    for name, value in counts.items():
        if int(value) != value or value < 1:
            raise UsageError(f"{name} must be a positive integer, got {value}.")


def check_t_min(sde: SDE, t_min: float | None) -> float:
    """`t_min`, the process's own if None.

    Raises:
        UsageError: it is outside the process's range.
    """
    t_min = float(sde.t_min if t_min is None else t_min)
    if not sde.t_min <= t_min < sde.t_max:
        raise UsageError(f"t_min must lie in [{sde.t_min}, {sde.t_max}), got {t_min}.")
    return t_min


def check_noise(sde: SDE, t_min: ArrayLike) -> None:
    """Raises UsageError where sigma(t_min) = 0 (unless the process is traced)."""
    if is_traced(sde):
        return
    with jax.ensure_compile_time_eval():
        noisy = bool(sde.sigma(t_min) > 0)
    if not noisy:
        raise UsageError(
            f"There is no noise at t_min = {t_min}, where the bound diverges; give a t_min > 0."
        )
