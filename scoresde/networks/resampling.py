"""Resampling by two with a separable FIR filter, in plain slices and sums.

A filter k with taps k[0..n-1] (normalized to sum 1) is applied along the height and then along the
width, with zeros outside the image, as in StyleGAN2 (Karras et al. 2020) and NCSN++ (Song et al.
2021, Appendix H). Downsampling filters and keeps every second pixel; upsampling puts a zero after
every pixel, filters, and multiplies by two an axis, so that a constant keeps its value.

    k = (1, 1)         2x2 mean pooling and nearest-neighbor upsampling
    k = (1, 3, 3, 1)   NCSN++'s anti-aliasing filter

The zeros outside darken a border row of (1, 3, 3, 1): upsampling maps the constant 1 to 0.75 there
(0.5625 in a corner), downsampling to 0.875 (0.765625).

Why not a depthwise convolution: XLA on a CPU runs those about a hundred times slower than the few
shifted sums below, which fuse into one loop there and into one kernel on a GPU. The mean of 2x2
pixels is a mean: quicker still in a network, where the loop would take in what comes before.
"""

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from scoresde.networks.initializers import Constant, ScaledUniform, parameter
from scoresde.networks.layers import LAYOUT, add_bias
from scoresde.registry import UsageError

HEIGHT, WIDTH = 1, 2
"""The spatial axes of an array [batch, height, width, channels]."""


def _normalized(kernel: Sequence[float]) -> tuple[float, ...]:
    total = float(sum(kernel))
    return tuple(tap / total for tap in reversed(kernel))


@functools.partial(
    jax.jit, static_argnames=("taps", "axis", "first", "size", "stride"), inline=True
)
def _correlate(
    x: jax.Array, taps: tuple[float, ...], axis: int, *, first: int, size: int, stride: int = 1
) -> jax.Array:
    """y[i] = sum_m taps[m] x[first + stride i + m] along `axis` for i < size, x = 0 outside.

    Compiled as a part of the whole, but traced once a shape, not once a layer.
    """
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


def _upsample_axis(x: jax.Array, taps: tuple[float, ...], axis: int, lead: int) -> jax.Array:
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


def copies(kernel: Sequence[float]) -> bool:
    """Whether upsampling with these taps repeats every pixel 2x2 times."""
    return _normalized(kernel) == (0.5, 0.5)


def upsample(x: jax.Array, kernel: Sequence[float] = (1, 3, 3, 1)) -> jax.Array:
    """Doubles height and width of x [batch, height, width, channels].

    Args:
        x: images or feature maps.
        kernel: filter taps of one axis, of any scale, at least two.
    """
    taps = tuple(2 * tap for tap in _normalized(kernel))
    if copies(kernel):  # which a GPU writes faster than it joins phases
        batch, height, width, channels = x.shape
        x = jnp.broadcast_to(x[:, :, None, :, None, :], (batch, height, 2, width, 2, channels))
        return x.reshape(batch, 2 * height, 2 * width, channels)
    lead = (len(taps) - 1) // 2 + 1
    for axis in (HEIGHT, WIDTH):
        x = _upsample_axis(x, taps, axis, lead)
    return x


def downsample(x: jax.Array, kernel: Sequence[float] = (1, 3, 3, 1)) -> jax.Array:
    """Halves height and width of x [batch, height, width, channels], both even.

    Args:
        x: images or feature maps.
        kernel: filter taps of one axis, of any scale, at least two.

    Raises:
        UsageError: height or width is odd.
    """
    taps = _normalized(kernel)
    batch, height, width, channels = x.shape
    if height % 2 or width % 2:
        raise UsageError(f"{height}x{width} pixels cannot be halved; both numbers must be even.")
    if taps == (0.5, 0.5):  # on CPUs, slices would be fused with all that comes before them
        return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
    for axis in (HEIGHT, WIDTH):
        first = -((len(taps) - 1) // 2)
        x = _correlate(x, taps, axis, first=first, size=x.shape[axis] // 2, stride=2)
    return x


class Conv2d(nn.Module):
    """A 3x3 convolution fused with FIR resampling by two, the step of NCSN++'s residual pyramids.

    Downsampling filters at full resolution and convolves with stride two. Upsampling is the
    transposed convolution with stride two and then the filter; both being linear and the same
    everywhere, it is computed as the filter and then a convolution, on an image with a border of
    zeros wide enough for what crosses it in between.

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
        weight = parameter(self, "weight", ScaledUniform(), (3, 3, x.shape[-1], self.features))
        bias = parameter(self, "bias", Constant(), (self.features,))
        x = x.astype(self.dtype)
        if self.resample == "up":
            stride = 1
            x = upsample(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), self.kernel)
            x = x[:, 1:-1, 1:-1]
        else:
            stride = 2
            taps, border = _normalized(self.kernel), len(self.kernel)
            for axis in (HEIGHT, WIDTH):
                first, size = -((border + 1) // 2), x.shape[axis] + 1
                x = _correlate(x, taps, axis, first=first, size=size)
        y = lax.conv_general_dilated(
            x, weight.astype(self.dtype), (stride, stride), "VALID", dimension_numbers=LAYOUT
        )
        return add_bias(y, bias)
