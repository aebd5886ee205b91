"""The 3x3 convolution of a map that is upsampled first, from the map itself.

Of the 3x3 pixels that a kernel sees in a map of 2x2 copies, some are copies of one: along an axis
an even output reads the pixels i - 1, i, i, and an odd one i, i, i + 1. With the taps on copies
summed, each of the four phases of the outputs is a convolution of the small map with 2x2 taps:
16 products for four outputs instead of 36, and no large map to write, to read and to keep for the
derivative. The zeros around the large map are zeros around the small one.
"""

import jax
import jax.numpy as jnp
from jax import lax

from scoresde.registry import UsageError

LAYOUT = ("NHWC", "HWIO", "NHWC")
"""Dimensions of images, convolution kernels and results."""


def _phases(kernel: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
    """The two taps of even outputs, and those of odd ones, along an axis with three."""
    first, middle, last = (lax.slice_in_dim(kernel, i, i + 1, axis=axis) for i in range(3))
    even, odd = (first, middle + last), (first + middle, last)
    return jnp.concatenate(even, axis), jnp.concatenate(odd, axis)


def convolve_upsampled(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """The convolution, with zeros around, of x with every pixel repeated 2x2 times.

    Args:
        x: maps [batch, height, width, channels].
        kernel: taps [3, 3, channels, features]; their sums are float32 at least, and then rounded
            to the type of x.

    Returns:
        [batch, 2 height, 2 width, features].

    Raises:
        UsageError: the kernel has another size.
    """
    if kernel.shape[:2] != (3, 3):
        size = "x".join(map(str, kernel.shape[:2]))
        raise UsageError(f"An upsampled map is convolved with 3x3 taps here, not with {size}.")
    batch, height, width, _ = x.shape
    kernel = kernel.astype(jnp.promote_types(jnp.promote_types(x.dtype, kernel.dtype), jnp.float32))
    features = kernel.shape[-1]

    def phase(taps: jax.Array, i: int, j: int) -> jax.Array:
        padding = ((1 - i, i), (1 - j, j))
        return lax.conv_general_dilated(
            x, taps.astype(x.dtype), (1, 1), padding, dimension_numbers=LAYOUT
        )

    phases = [
        phase(taps, i, j)
        for i, of_row in enumerate(_phases(kernel, 0))
        for j, taps in enumerate(_phases(of_row, 1))
    ]
    y = jnp.concatenate(phases, axis=-1).reshape(batch, height, width, 2, 2, features)
    return y.swapaxes(2, 3).reshape(batch, 2 * height, 2 * width, features)
