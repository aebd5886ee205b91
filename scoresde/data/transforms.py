"""Between images, the unit interval and the range a network works in: pure functions.

    images, levels 0 .. K-1  --to_unit-->     k / (K - 1)  in [0, 1]  hits 0 and 1: for training
                             --dequantize-->  (k + u) / K  in [0, 1)  has a density: for likelihoods
    [0, 1]                   --scale-->       data_range, usually (0, 1) or (-1, 1)
    data_range               --quantize-->    the nearest level, 0 .. K-1

K is the number of gray levels, `bins`; `scoresde.codecs` makes an image's way to x and back of
these.

The expected log-density of k + u, u uniform on [0, 1), is a lower bound on the log-probability of
the discrete level k (Theis et al. 2016, arXiv:1511.01844, section 3.1).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.keys import sample_keys
from scoresde.meshes import is_known
from scoresde.plain import interval
from scoresde.registry import UsageError


def to_unit(images: ArrayLike, bins: int = 256) -> Array:
    """Images of levels 0 .. bins-1, any shape, to k / (bins - 1) in [0, 1], ends included; float32.

    Raises:
        UsageError: the images are not on the grid.
    """
    check_levels(images, bins)
    return jnp.asarray(images, jnp.float32) / (bins - 1)


def check_levels(images: ArrayLike, bins: int) -> None:
    """Checks that images are on the grid 0, 1, ..., bins - 1.

    The values are looked at only if they are known; while JAX traces, only their type is.

    Raises:
        UsageError: they are not integers, or one is outside; or bins are not 2 .. 256.
    """
    known = is_known(images)
    images = np.asarray(images) if known else images
    if not jnp.issubdtype(images.dtype, jnp.integer):
        raise UsageError(
            f"Images must be integer levels 0 .. {bins - 1}, got {images.dtype}: give them as they "
            "were before scaling; bits/dim are defined for discrete images only."
        )
    if not 2 <= bins <= 256:
        raise UsageError(f"Images must have 2 .. 256 levels, not {bins}.")
    if known and images.size and not 0 <= images.min() <= images.max() < bins:
        raise UsageError(
            f"The images have levels {images.min()} .. {images.max()}, but {bins} bins hold "
            f"0 .. {bins - 1}; give the number of levels of the data as bins."
        )


def dequantize(key: Array, images: ArrayLike, bins: int = 256, first: ArrayLike = 0) -> Array:
    """Uniform dequantization: (k + u) / bins with u ~ U(0, 1), float32 in (0, 1).

    u is drawn from the 8192 odd multiples of 2^-14: the mean is exactly 1/2, a float32 holds k + u
    exactly, and the rounding of the division cannot carry it into the next level. (A u of 24 random
    bits is rounded up to the next level once in 2^18 bright pixels.)

    Args:
        key: one key, from which image i gets `fold_in(key, first + i)`, or one key per image
            [batch]; an image gets the same noise in a batch of any size.
        images: levels 0 .. bins-1, [batch, ...].
        bins: number of gray levels, at most 256.
        first: the number of the first image in the batch, with a single key.

    Raises:
        UsageError: the images are not on the grid, or an array of keys is of another length.
    """
    check_levels(images, bins)
    images = jnp.asarray(images)
    keys = sample_keys(key, len(images), first)
    bits = jax.vmap(lambda key: jax.random.bits(key, images.shape[1:], jnp.uint16))(keys)
    u = (2 * (bits >> 3) + 1).astype(jnp.float32) * 2.0**-14
    return (images.astype(jnp.float32) + u) / bins


def dequantized_to_images(x01: ArrayLike, bins: int = 256) -> Array:
    """The levels k, uint8, with x01 in [k, k + 1) / bins; inverts `dequantize` exactly.

    Any shape; values outside [0, 1) and those that are not finite as in `quantize`.
    """
    return _as_levels(jnp.floor(jnp.asarray(x01) * bins), bins)


def scale(x01: ArrayLike, data_range: tuple[float, float]) -> Array:
    """From [0, 1] to data_range = (low, high); any shape.

    Raises:
        UsageError: low is not below high.
    """
    low, high = interval("data_range", data_range)
    return low + (high - low) * jnp.asarray(x01)


def unscale(x: ArrayLike, data_range: tuple[float, float]) -> Array:
    """From data_range = (low, high) to [0, 1], without clipping; any shape.

    Raises:
        UsageError: low is not below high.
    """
    low, high = interval("data_range", data_range)
    return (jnp.asarray(x) - low) / (high - low)


def quantize(x: ArrayLike, data_range: tuple[float, float], bins: int = 256) -> Array:
    """The level, uint8, nearest to each value of `x`, clipped to 0 .. bins-1.

    The nearest, that is round((bins - 1) x01): truncation, common in published code, darkens every
    sample by half a level. NaN, which has no nearest, becomes the level in the middle, bins // 2:
    neither black nor white, whatever the bins.

    Args:
        x: values in data_range, any shape; what lies outside, the infinities too, is clipped.
        data_range: (low, high), the values of level 0 and level bins-1.
        bins: number of gray levels, at most 256.

    Raises:
        UsageError: low is not below high.
    """
    return _as_levels(jnp.round(unscale(x, data_range) * (bins - 1)), bins)


def _as_levels(values, bins):
    # What NaN becomes as an integer differs between devices; on most of them it is black.
    values = jnp.where(jnp.isnan(values), bins // 2, values)
    return jnp.clip(values, 0, bins - 1).astype(jnp.uint8)


def check_range(x: ArrayLike, data_range: tuple[float, float], name: str = "images") -> None:
    """Checks on the host that every value of `x` is finite and in data_range.

    Raises:
        UsageError: a value is outside, naming the range found; or low is not below high.
    """
    low, high = interval("data_range", data_range)
    x = np.asarray(x)
    if not x.size:
        return
    lowest, highest = float(x.min()), float(x.max())
    if not (low <= lowest and highest <= high):  # also false for NaN
        raise UsageError(
            f"The {name} span [{lowest:g}, {highest:g}], but must lie in [{low:g}, {high:g}]; "
            "rescale them, or set data_range to theirs."
        )
