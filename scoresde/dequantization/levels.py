"""What dequantisers share: their result, and the grid that images must be on."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.registry import UsageError

# float32 holds k + u for k < 256 and this u exactly, and dividing by the bins cannot carry it over.
_LARGEST = 1 - 2.0**-15


class Dequantized(NamedTuple):
    """Images with a density.

    Attributes:
        unit: (k + u) / bins, float32 in [0, 1), like the levels.
        log_q: log density of the noise u in nats, [batch]; a bin is one wide.
    """

    unit: Array
    log_q: Array


def check_levels(levels: ArrayLike, bins: int) -> None:
    """Checks that images are on the grid 0, 1, ..., bins - 1.

    The values are looked at only if they are known; while JAX traces, only their type is.

    Raises:
        UsageError: they are not integers, or one is outside.
    """
    traced = isinstance(levels, jax.core.Tracer)
    levels = levels if traced else np.asarray(levels)
    if not jnp.issubdtype(levels.dtype, jnp.integer):
        raise UsageError(
            f"Dequantisation takes integer levels 0 .. {bins - 1}, got {levels.dtype}: give the "
            "images as they were before scaling; bits/dim are defined for discrete images only."
        )
    if not 2 <= bins <= 256:
        raise UsageError(f"Dequantisation takes 2 .. 256 bins, got {bins}.")
    if not traced and levels.size and not 0 <= levels.min() <= levels.max() < bins:
        raise UsageError(
            f"The images have levels {levels.min()} .. {levels.max()}, but {bins} bins hold "
            f"0 .. {bins - 1}; give the number of levels of the data as bins."
        )


def into_bins(levels: Array, noise: Array, bins: int) -> Array:
    """(k + u) / bins in float32, kept inside the bin of k.

    Args:
        levels: k, [batch, ...].
        noise: u in [0, 1], like levels. What lies closer to the upper end than 2^-15 is moved
            there, since rounding could carry it into the next bin.
        bins: number of levels, at most 256.
    """
    noise = jnp.clip(noise, 0.0, _LARGEST)
    return (levels.astype(jnp.float32) + noise) / bins
