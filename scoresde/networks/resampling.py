"""Resampling by two with a separable FIR filter, in plain slices and sums.

A filter k with taps k[0..n-1] (normalised to sum 1) is applied along the height and then along the
width, with zeros outside the image, as in StyleGAN2 (Karras et al. 2020) and NCSN++ (Song et al.
2021, Appendix H). Downsampling filters and keeps every second pixel; upsampling puts a zero after
every pixel, filters, and multiplies by two an axis, so that a constant keeps its value.

    k = (1, 1)         2x2 mean pooling and nearest-neighbour upsampling
    k = (1, 3, 3, 1)   NCSN++'s anti-aliasing filter

The zeros outside darken a border row of (1, 3, 3, 1): upsampling maps the constant 1 to 0.75 there
(0.5625 in a corner), downsampling to 0.875 (0.765625).

Why not a depthwise convolution: XLA on a CPU runs those about a hundred times slower than the few
shifted sums below, which fuse into one loop there and into one kernel on a GPU.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from scoresde.networks.initialisers import Constant, ScaledUniform, parameter
from scoresde.networks.layers import LAYOUT

HEIGHT, WIDTH = 1, 2
"""The spatial axes of an array [batch, height, width, channels]."""


def _normalised(kernel: Sequence[float]) -> list[float]:
    total = float(sum(kernel))
    return [tap / total for tap in reversed(kernel)]


def _correlate(
    x: jax.Array, taps: Sequence[float], axis: int, *, first: int, size: int, stride: int = 1
) -> jax.Array:
    """y[i] = sum_m taps[m] x[first + stride i + m] along `axis` for i < size, x = 0 outside."""
    last = first + stride * (size - 1) + len(taps) - 1
    low, high = max(0, -first), max(0, last + 1 - x.shape[axis])
    padding = [(0, 0)] * x.ndim
    padding[axis] = (low, high)
    x = jnp.pad(x, padding)
    span = stride * (size - 1) + 1
    return sum(
        tap * lax.slice_in_dim(x, start, start + span, stride, axis)
        for start, tap in enumerate(taps, start=first + low)
    )


def _upsample_axis(x: jax.Array, taps: Sequence[float], axis: int, lead: int) -> jax.Array:
    """Zero-stuffing by two, `lead` zeros in front, correlation with `taps`: the two phases apart.

    Every second tap meets a stuffed zero, so that even and odd outputs each need half the taps on
    the original pixels.
    """
    size = x.shape[axis]
    phases = []
    for phase in (0, 1):
        start = (phase + lead) % 2
        first = (phase + start - lead) // 2
        phases.append(_correlate(x, taps[start::2], axis, first=first, size=size))
    shape = list(x.shape)
    shape[axis] = 2 * size
    return jnp.stack(phases, axis=axis + 1).reshape(shape)


def upsample(x: jax.Array, kernel: Sequence[float] = (1, 3, 3, 1)) -> jax.Array:
    """Doubles height and width of x [batch, height, width, channels].

    Args:
        x: images or feature maps.
        kernel: filter taps of one axis, of any scale, at least two.
    """
    taps = [2 * tap for tap in _normalised(kernel)]
    lead = (len(taps) - 1) // 2 + 1
    for axis in (HEIGHT, WIDTH):
        x = _upsample_axis(x, taps, axis, lead)
    return x


def downsample(x: jax.Array, kernel: Sequence[float] = (1, 3, 3, 1)) -> jax.Array:
    """Halves height and width of x [batch, height, width, channels], both even.

    Args:
        x: images or feature maps.
        kernel: filter taps of one axis, of any scale, at least two.
    """
    taps = _normalised(kernel)
    for axis in (HEIGHT, WIDTH):
        first = -((len(taps) - 1) // 2)
        x = _correlate(x, taps, axis, first=first, size=x.shape[axis] // 2, stride=2)
    return x


def _blur(x: jax.Array, taps: Sequence[float], before: int, after: int) -> jax.Array:
    """The filter at full resolution, on x with `before` and `after` zeros at its borders."""
    for axis in (HEIGHT, WIDTH):
        size = x.shape[axis] + before + after - len(taps) + 1
        x = _correlate(x, taps, axis, first=-before, size=size)
    return x


class Conv2d(nn.Module):
    """A 3x3 convolution fused with FIR resampling by two, the step of NCSN++'s residual pyramids.

    Downsampling filters at full resolution and convolves with stride two; upsampling is the
    transposed convolution with stride two, then the filter.

    Attributes:
        features: output channels.
        resample: "up" or "down".
        kernel: filter taps of one axis.
        dtype: computation type.
    """

    features: int
    resample: str
    kernel: Sequence[float] = (1, 3, 3, 1)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (3, 3, x.shape[-1], self.features)
        weight = parameter(self, "weight", ScaledUniform(), shape).astype(self.dtype)
        bias = parameter(self, "bias", Constant(), (self.features,)).astype(self.dtype)
        x = x.astype(self.dtype)
        taps = _normalised(self.kernel)
        if self.resample == "down":
            border = len(taps)
            x = _blur(x, taps, (border + 1) // 2, border // 2)
            x = lax.conv_general_dilated(x, weight, (2, 2), "VALID", dimension_numbers=LAYOUT)
        else:
            x = lax.conv_general_dilated(
                x, weight, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=LAYOUT
            )
            border = len(taps) - 4
            taps = [2 * tap for tap in taps]
            x = _blur(x, taps, (border + 1) // 2 + 1, border // 2 + 1)
        return x + bias
