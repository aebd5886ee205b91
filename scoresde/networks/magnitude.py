"""Layers that preserve the magnitude of their input (Karras et al. 2024, arXiv:2312.02696).

A layer whose input has pixels of independent values of variance 1 gives such values again, in
expectation: there is no normalization of the data, no bias, and no weight whose size matters
(section 2 and appendix B). What would change a magnitude is a `gain`, a number that starts
at zero.

The length of a weight's row, all weights of one output, is divided out where it is used. In
training the rows are also brought to unit size at every step ("forced weight normalization"), so
that they do not grow and with them an update's effect shrink: `normalized_rows`,
by `Network.project`.
"""

import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from scoresde.networks.initializers import (
    Constant,
    Initializer,
    Normal,
    SymmetricUniform,
    parameter,
)
from scoresde.networks.layers import swish
from scoresde.networks.upsampled import LAYOUT, convolve_upsampled
from scoresde.speed.barriers import settle_cotangents

EPSILON = 1e-4
"""What is added to a root mean square before it divides: to normalize twice is not quite the same
as to do it once."""

SILU = 0.596
"""The root mean square of silu(z), z ~ N(0, 1)."""

LARGEST = 256.0
"""Activations are kept within +- this, which no sound network reaches."""


def rms_normalized(x: jax.Array, axes: int | Sequence[int]) -> jax.Array:
    """x over its root mean square along the axes, computed in float32 at least."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    rms = jnp.sqrt(jnp.mean(wide * wide, axis=axes, keepdims=True))
    return (wide / (EPSILON + rms)).astype(x.dtype)


def normalized_rows(kernel: jax.Array) -> jax.Array:
    """A kernel [..., inputs, outputs] whose weights of each output have a mean square of 1."""
    return rms_normalized(kernel, range(kernel.ndim - 1))


@jax.jit
def mp_silu(x: jax.Array, factor: jax.Array | None = None) -> jax.Array:
    """SiLU of x, or of the product, over its root mean square for normal input."""

    def silu(x, factor):
        return swish(x if factor is None else x * factor) / SILU

    # Computed again for its derivative, of which its arguments alone are kept.
    return jax.checkpoint(silu, prevent_cse=False)(x, factor)


def mp_sum(a: jax.Array, b: jax.Array, t: float) -> jax.Array:
    """((1 - t) a + t b) / sqrt((1 - t)^2 + t^2); t is the share of b, in [0, 1]."""
    return ((1 - t) * a + t * b) / math.hypot(1 - t, t)


def mp_cat(a: jax.Array, b: jax.Array, t: float) -> jax.Array:
    """The channels of both, of which b's count by t in [0, 1] however many they are.

    a is the main path and b the skip, whose order the paper's formula leaves open.
    """
    channels = a.shape[-1], b.shape[-1]
    scale = math.sqrt(sum(channels)) / math.hypot(1 - t, t)
    a = a * (scale * (1 - t) / math.sqrt(channels[0]))
    b = b * (scale * t / math.sqrt(channels[1]))
    return jnp.concatenate([a, b], axis=-1)


class MPFourier(nn.Module):
    """sqrt(2) cos(2 pi (f v + p)), with fixed f ~ N(0, 1) and p uniform on [0, 1).

    Both are kept among the parameters, for they belong to the trained network; no gradient reaches
    them. They hold 2 pi f and 2 pi p.

    Attributes:
        features: length of the result.
    """

    features: int

    @nn.compact
    def __call__(self, v: jax.Array) -> jax.Array:
        """Embeds v [batch] as [batch, features]."""
        shape, turn = (self.features,), 2 * math.pi
        # A phase on [-pi, pi) is as one on [0, 2 pi).
        frequencies = parameter(self, "frequencies", Normal(turn), shape)
        phases = parameter(self, "phases", SymmetricUniform(math.pi), shape)
        frequencies, phases = lax.stop_gradient((frequencies, phases))
        dtype = jnp.promote_types(v.dtype, frequencies.dtype)
        return math.sqrt(2) * jnp.cos(v[:, None].astype(dtype) * frequencies + phases)


class MPLayer(nn.Module):
    """A convolution, or a linear map of the last axis, that preserves magnitudes.

    Attributes:
        features: output channels.
        size: height and width of the kernel; None for a linear map.
        upsampled: whether every pixel is repeated 2x2 times first; the kernel is then 3x3.
        kernel_init: the kernel's initializer; its scale does not matter.
        dtype: computation type.
    """

    features: int
    size: int | None = None
    upsampled: bool = False
    kernel_init: Initializer = Normal()
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, gain: jax.Array | float = 1.0) -> jax.Array:
        """The outputs, times the gain."""
        window = () if self.size is None else (self.size, self.size)
        shape = (*window, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", self.kernel_init, shape)
        kernel = normalized_rows(kernel) * (gain / math.sqrt(math.prod(shape[:-1])))
        x = x.astype(self.dtype)
        if self.size is None:
            return x @ kernel.astype(self.dtype)
        x, kernel = settle_cotangents(x, kernel)
        if self.upsampled:
            return convolve_upsampled(x, kernel)
        kernel = kernel.astype(self.dtype)
        return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=LAYOUT)


def scalar(module: nn.Module, name: str) -> jax.Array:
    """A gain of the module: one number, zero at the start."""
    return parameter(module, name, Constant(), ())
