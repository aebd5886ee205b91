"""Resizing 8-bit images as the evaluations of the literature do, to their rounding.

A metric's value depends on how its images were resized: with another rule, features differ by
percents. Every rule here is separable. Which pixels it takes with which weights is found on the
host, in the arithmetic of the program that it is of; the device only adds up, at full precision.

Sources: tf.image.resize_bilinear of TensorFlow 1; Parmar et al. 2022 for the resize of clean-fid;
Pillow's Resample.c; torch.nn.functional.interpolate.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from scoresde.metrics.images import rgb
from scoresde.plain import check
from scoresde.registry import UsageError

BITS = 22
"""Pillow's weights for 8-bit images are integers over 2^22."""


def tf1(images: Any, size: int = 299) -> jax.Array:
    """Bilinear as TensorFlow 1 does it, from the corner of the image and without antialiasing.

    The pixel i of the result is at i (input size / size). Used with Inception by the original FID,
    torch-fidelity and EDM.

    Args:
        images: uint8, [n, height, width, 3], or with one channel, which is repeated.
        size: height and width of the result.

    Returns:
        float32 in [0, 255], [n, size, size, 3].

    Raises:
        UsageError: images of another type or shape, or a size below 1.
    """
    return _lerp(rgb(images), _size(size), 0.0)


def pytorch_fid(images: Any, size: int = 299) -> jax.Array:
    """Bilinear between the centers of pixels, without antialiasing, as pytorch-fid does it.

    The pixel i of the result is at (i + 1/2) (input size / size) - 1/2. See `tf1`.
    """
    return _lerp(rgb(images), _size(size), 0.5)


def clean(images: Any, size: int = 299) -> jax.Array:
    """Bicubic with antialiasing, clipped and not rounded, as clean-fid does it; see `tf1`."""
    return _clean(rgb(images), _size(size))


def bicubic(images: Any, size: int = 224) -> jax.Array:
    """Bicubic with antialiasing, neither clipped nor rounded, as EDM2 does it; see `tf1`.

    The result leaves [0, 255] beside edges.
    """
    return _bicubic(rgb(images), _size(size))


def pillow(images: Any, size: int = 224) -> jax.Array:
    """Bicubic in 8 bits with antialiasing, of rows first, as Pillow and dgm-eval do it.

    Both passes are rounded and clipped. Pillow 13 resizes the columns of tall images that shrink
    first, where up to a third of the pixels differs by a level; this is what it did before.

    Args:
        images: see `tf1`.
        size: see `tf1`.

    Returns:
        uint8, [n, size, size, 3].
    """
    return _pillow(rgb(images), _size(size))


def _size(size: int) -> int:
    check("size", size, int)
    if size < 1:
        raise UsageError(f"size must be at least 1, got {size}.")
    return int(size)


def taps(length: int, size: int, center: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the pixels of a bilinear result lie: the pixels before and after, and the way between.

    In float32, as TensorFlow and PyTorch compute it: with more digits, features would differ.

    Args:
        length: pixels of the input.
        size: pixels of the result.
        center: 0 or 1/2, where in a pixel its value is.
    """
    scale, center = np.float32(length) / np.float32(size), np.float32(center)
    place = np.maximum((np.arange(size, dtype=np.float32) + center) * scale - center, 0)
    before = np.minimum(np.floor(place).astype(np.int32), length - 1)
    after = np.minimum(before + 1, length - 1)
    return before, after, place - before.astype(np.float32)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _lerp(images: jax.Array, size: int, center: float) -> jax.Array:
    x = images.astype(jnp.float32)
    for axis in (2, 1):
        before, after, way = taps(x.shape[axis], size, center)
        a, b = jnp.take(x, before, axis), jnp.take(x, after, axis)
        x = a + (b - a) * np.expand_dims(way, (1, 2) if axis == 1 else 1)
    return x


@functools.lru_cache(64)
def cubic(length: int, size: int) -> np.ndarray:
    """The weights of Pillow's bicubic resize, [size, length] in float64; rows sum to 1.

    Keys' kernel (1981) with a = -1/2, wider by the factor of the reduction if there is one.
    """
    scale = length / size
    wider = max(scale, 1.0)
    center = (np.arange(size)[:, None] + 0.5) * scale
    pixel = np.arange(length)
    first = np.maximum(center - 2 * wider + 0.5, 0).astype(int)
    stop = np.minimum((center + 2 * wider + 0.5).astype(int), length)
    x = np.abs((pixel - center + 0.5) * (1 / wider))
    near = (1.5 * x - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    weights = np.where((pixel >= first) & (pixel < stop), weights, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    weights.flags.writeable = False
    return weights


def _apply(weights: np.ndarray, x: jax.Array, axis: int) -> jax.Array:
    """sum_j weights[i, j] x[..., j, ...], at full precision."""
    terms = "oh,nhwc->nowc" if axis == 1 else "ow,nhwc->nhoc"
    return jnp.einsum(terms, weights, x, precision=lax.Precision.HIGHEST)


@functools.partial(jax.jit, static_argnums=1)
def _bicubic(images: jax.Array, size: int) -> jax.Array:
    x = images.astype(jnp.float32)
    for axis in (2, 1):
        x = _apply(cubic(x.shape[axis], size).astype(np.float32), x, axis)
    return x


@functools.partial(jax.jit, static_argnums=1)
def _clean(images: jax.Array, size: int) -> jax.Array:
    return jnp.clip(_bicubic(images, size), 0, 255)


@functools.partial(jax.jit, static_argnums=1)
def _pillow(images: jax.Array, size: int) -> jax.Array:
    x = images.astype(jnp.int32)
    for axis in (2, 1):
        weights = cubic(x.shape[axis], size) * 2**BITS
        weights = np.trunc(weights + np.copysign(0.5, weights)).astype(np.int32)
        x = jnp.clip((_apply(weights, x, axis) + 2 ** (BITS - 1)) >> BITS, 0, 255)
    return x.astype(jnp.uint8)
