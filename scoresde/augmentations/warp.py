"""Affine maps of images, sampled with care.

An image is continued by reflection at the centers of its border pixels, sampled up by two with the
low-pass filter of an orthonormal wavelet, read between those samples by bilinear interpolation, and
filtered down by two with the same filter: as StyleGAN2-ADA does it (Karras et al. 2020,
arXiv:2006.06676, appendix B), whose way EDM takes over (arXiv:2206.00364, appendix F.2). Since the
filter is orthonormal, a map that moves nothing changes nothing, and one that moves pixels onto
pixels copies them; both up to rounding.

What differs: the reflected image is periodic, so it is read where the map asks for, without margins
that depend on the other maps of a batch; and the wavelet is not quite symmetric, whence positions
count from the filter's center of mass.
"""

import functools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

# The symlet of six vanishing moments (Daubechies 1992, section 8.1.1).
FILTER = np.array(
    [
        0.015404109327027373,
        0.0034907120842174702,
        -0.11799011114819057,
        -0.048311742585633,
        0.4910559419267466,
        0.787641141030194,
        0.3379294217276218,
        -0.07263752278646252,
        -0.021060292512300564,
        0.04472490177066578,
        0.0017677118642428036,
        -0.007800708325034148,
    ]
)
CENTER = float(np.arange(len(FILTER)) @ FILTER / math.sqrt(2))
"""Sample n of an image that is sampled up lies at its pixel (n - CENTER) / 2."""


@functools.cache
def _up(size: int) -> np.ndarray:
    """From `size` pixels to one period of their reflection, sampled up: [4 (size - 1), size]."""
    period = max(2 * (size - 1), 1)
    matrix = np.zeros((2 * period, size))
    for pixel in range(period):
        for k, weight in enumerate(FILTER):
            inside = min(pixel, period - pixel)
            matrix[(2 * pixel + k) % (2 * period), inside] += math.sqrt(2) * weight
    return matrix.astype(np.float32)


@functools.cache
def _down(size: int) -> np.ndarray:
    """From samples 0, 1, ... to `size` pixels: [size, 2 size + 10]."""
    matrix = np.zeros((size, 2 * (size - 1) + len(FILTER)))
    for pixel in range(size):
        matrix[pixel, 2 * pixel : 2 * pixel + len(FILTER)] = FILTER / math.sqrt(2)
    return matrix.astype(np.float32)


def warped(x: Array, inverse: Array, shift: Array) -> Array:
    """The image y with y(p) = x(inverse (p - shift)), positions p counted from the center.

    Args:
        x: one image, [height, width, channels].
        inverse: the inverse of a linear map of (x, y), x to the right and y down, [2, 2].
        shift: what is added after that map, (x, y) in pixels, [2].

    Returns:
        Like x.
    """
    height, width = x.shape[:2]
    up = jnp.einsum("nh,hwc,mw->nmc", _up(height), x, _up(width), precision="highest")
    down_y, down_x = _down(height), _down(width)
    # In half pixels from the center.
    y = jnp.arange(down_y.shape[1])[:, None] - (CENTER + height - 1) - 2 * shift[1]
    x_ = jnp.arange(down_x.shape[1])[None, :] - (CENTER + width - 1) - 2 * shift[0]
    column = inverse[0, 0] * x_ + inverse[0, 1] * y + (CENTER + width - 1)
    row = inverse[1, 0] * x_ + inverse[1, 1] * y + (CENTER + height - 1)
    between = _bilinear(up, row, column)
    return jnp.einsum("hn,nmc,wm->hwc", down_y, between, down_x, precision="highest")


def _bilinear(image: Array, row: Array, column: Array) -> Array:
    """A periodic image [rows, columns, channels] between its pixels, [..., channels]."""
    top, left = jnp.floor(row), jnp.floor(column)
    below, right = (row - top)[..., None], (column - left)[..., None]
    rows = [(top.astype(jnp.int32) + i) % image.shape[0] for i in (0, 1)]
    columns = [(left.astype(jnp.int32) + i) % image.shape[1] for i in (0, 1)]
    upper, lower = (
        (1 - right) * image[row, columns[0]] + right * image[row, columns[1]] for row in rows
    )
    return (1 - below) * upper + below * lower
