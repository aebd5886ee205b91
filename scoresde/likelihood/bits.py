"""From a density in nats to bits per dimension."""

import math

import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.plain import interval
from scoresde.registry import UsageError


def bits_per_dim(
    nats: ArrayLike,
    num_dims: int,
    *,
    bins: int = 256,
    bin_range: tuple[float, float] = (-1, 1),
) -> Array:
    """-log2 of the probability of the image's bins, per dimension.

    An integer level k in {0, ..., bins - 1} occupies a bin of width (high - low) / bins of the
    range that the bins fill, and uniform dequantization (Theis et al. 2016, arXiv:1511.01844)
    spreads it evenly over that bin. By Jensen's inequality E[log p(x)] + d log(width) is then a
    lower bound on the log probability of the discrete image:

        bits/dim = -nats / (d log 2) + log2(bins / (high - low)).

    For 8-bit images the offset is 7 on [-1, 1] and 8 on [0, 1].

    Args:
        nats: log density of the dequantized image in the units of `bin_range`; any shape.
        num_dims: d, the number of dimensions of an image (height * width * channels).
        bins: number of gray levels of the data.
        bin_range: (low, high), what the bins fill, in the units that the density was taken in.

    Raises:
        UsageError: d or bins not a positive integer, or an empty range.
    """
    low, high = interval("bin_range", bin_range)
    whole = all(isinstance(number, int | np.integer) for number in (num_dims, bins))
    if not whole or num_dims < 1 or bins < 1:
        raise UsageError(
            f"bits_per_dim needs whole num_dims >= 1 and bins >= 1, got {num_dims} and {bins}."
        )
    if isinstance(nats, str):
        raise UsageError(f"nats must be numbers, not {nats!r}.")
    return -nats / (num_dims * math.log(2)) + math.log2(bins / (high - low))
