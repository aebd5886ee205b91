"""Decoders of an image from its noisy version, pixel by pixel: their costs are reconstructions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import log_ndtr
from jax.typing import ArrayLike

from scoresde.plain import interval
from scoresde.sdes import SDE


def level_values(images: ArrayLike, bins: int, level_range: tuple[float, float]) -> Array:
    """Levels k in the denoiser's range: low + (high - low) k / (bins - 1), float32.

    Raises:
        UsageError: a range that is none.
    """
    low, high = interval("level_range", level_range)
    return low + (high - low) / (bins - 1) * jnp.asarray(images, jnp.float32)


def nearest_levels(x: Array, bins: int, level_range: tuple[float, float]) -> Array:
    """The levels whose `level_values` are nearest to x, integers in 0 .. bins - 1, like x."""
    low, high = interval("level_range", level_range)
    levels = jnp.round((x - low) * ((bins - 1) / (high - low)))
    return jnp.clip(levels, 0, bins - 1).astype(jnp.int32)


def density_decoder_cost(sde: SDE, t_min: float, noise_error: Array, dims: int) -> Array:
    """-log N(x; E[x_0 | x_tmin], (sigma / alpha)^2 I), Tweedie's mean, in nats.

    The posterior for data that are flat over the width of the noise (Song et al. 2021,
    arXiv:2101.09258, appendix A).

    Args:
        sde: the process.
        t_min: where the decoder starts.
        noise_error: ||predicted noise - noise||^2 there, [...].
        dims: number of dimensions of x.
    """
    return 0.5 * (dims * (jnp.log(2 * jnp.pi) - sde.log_snr(t_min)) + noise_error)


def marginal_decoder_cost(
    images: Array, snr: ArrayLike, bins: int, level_range: tuple[float, float]
) -> Array:
    """-E[log p(images | z)] with p(k | z) = q(z | k) / sum over j of q(z | j), in nats, [batch].

    The decoder of Kingma et al. 2021, arXiv:2107.00630, equation 6. With z = alpha x_k + sigma e
    and delta = alpha (x_j - x_k) / sigma, the cost of a pixel of level k is

        E over e of  log sum over j of  exp(delta e - delta^2 / 2),

    a function of k alone, of which a table is made by the trapezoidal rule (it converges
    exponentially on the normal density). No noise is drawn and no network is called.

    Args:
        images: integers in 0 .. bins - 1, [batch, ...].
        snr: alpha^2 / sigma^2 at t_min; differentiable.
        bins: the number of levels.
        level_range: the values of level 0 and level bins - 1.
    """
    nodes = np.linspace(-9, 9, 181)
    weights = np.exp(-0.5 * nodes**2)
    weights = jnp.asarray(weights / weights.sum(), jnp.float32)[:, None]
    nodes = jnp.asarray(nodes, jnp.float32)[:, None]
    low, high = level_range
    spacing = jnp.sqrt(jnp.asarray(snr, jnp.float32)) * (high - low) / (bins - 1)
    all_levels = jnp.arange(bins)

    def others(total, j):  # exponents are at most nodes^2 / 2: no overflow
        delta = spacing * (j - all_levels)
        term = jnp.exp(delta * (nodes - 0.5 * delta))
        return total + jnp.where(j == all_levels, 0.0, term), None

    total, _ = jax.lax.scan(others, jnp.zeros((len(nodes), bins), jnp.float32), all_levels)
    table = jnp.sum(weights * jnp.log1p(total), axis=0)
    return jnp.sum(jnp.reshape(table[images], (images.shape[0], -1)), axis=1)


def gaussian_decoder_cost(
    images: Array, mean: Array, std: Array, bins: int, level_range: tuple[float, float]
) -> Array:
    """-log of a Gaussian's mass on the bins of the levels, in nats, [batch].

    The decoder of Ho et al. 2020, arXiv:2006.11239, equation 13: the bin of a level reaches half
    way to its neighbors, and those of the first and the last level to infinity.

    Args:
        images: integers in 0 .. bins - 1, [batch, ...].
        mean: of the Gaussian, like images.
        std: of the Gaussian, a scalar or like images.
        bins: the number of levels.
        level_range: the values of level 0 and level bins - 1.
    """
    low, high = level_range
    width = (high - low) / (bins - 1)
    center = (low + width * images - mean) / std
    below = jnp.where(images == 0, -jnp.inf, center - 0.5 * width / std)
    above = jnp.where(images == bins - 1, jnp.inf, center + 0.5 * width / std)
    # In the left tail, where the logarithm of the normal distribution function keeps its digits.
    mirror = below + above > 0
    below, above = jnp.where(mirror, -above, below), jnp.where(mirror, -below, above)
    log_above = log_ndtr(above)
    log_mass = log_above + _log_one_minus_exp(log_ndtr(below) - log_above)
    return -jnp.sum(jnp.reshape(log_mass, (images.shape[0], -1)), axis=1)


def tanh_decoder_cost(
    images: Array, mean: Array, std: Array, bins: int, level_range: tuple[float, float]
) -> Array:
    """`gaussian_decoder_cost` as the DDPM family's code computes it, in nats, [batch].

    Its numbers are published ones: the normal distribution function is an approximation by tanh,
    some 5e-4 bits/dim off, and no mass is below 1e-12, so that far in a tail a pixel costs 27.6
    nats and has no gradient.

    Args: as of `gaussian_decoder_cost`.
    """
    low, high = level_range
    width = (high - low) / (bins - 1)
    center = (low + width * images - mean) / std
    below = jnp.where(images == 0, 0.0, _tanh_normal_cdf(center - 0.5 * width / std))
    above = jnp.where(images == bins - 1, 1.0, _tanh_normal_cdf(center + 0.5 * width / std))
    log_mass = jnp.log(jnp.maximum(above - below, 1e-12))
    return -jnp.sum(jnp.reshape(log_mass, (images.shape[0], -1)), axis=1)


def _tanh_normal_cdf(x):
    """The normal distribution function after Page (1977)."""
    return 0.5 * (1 + jnp.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


GAUSSIAN_DECODERS = {"exact": gaussian_decoder_cost, "tanh": tanh_decoder_cost}
"""The Gaussian on the bins of the levels: to the last digit, or as published code computes it."""


def _log_one_minus_exp(x):
    """log(1 - exp(x)) for x < 0, to full precision at both ends."""
    near = x > -np.log(2)
    return jnp.where(near, jnp.log(-jnp.expm1(jnp.where(near, x, -1.0))), jnp.log1p(-jnp.exp(x)))
