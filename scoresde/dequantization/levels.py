"""What dequantisers share: their result, and how noise stays within its bin."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

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
