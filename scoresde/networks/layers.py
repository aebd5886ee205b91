"""The small layers every backbone is made of, and the activations by name.

Parameters are float32 whatever the computation type; normalization statistics are of that type,
and at least float32.
Images are [batch, height, width, channels]. Class and parameter names are Flax's.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from scoresde.networks.initializers import (
    Constant,
    Initializer,
    ScaledUniform,
    SymmetricUniform,
    parameter,
)
from scoresde.registry import UsageError

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": nn.elu,
    "relu": nn.relu,
    "lrelu": lambda x: nn.leaky_relu(x, negative_slope=0.2),
    "swish": nn.swish,
}
"""Nonlinearities by the names that configurations use."""

LAYOUT = ("NHWC", "HWIO", "NHWC")
"""Dimensions of images, convolution kernels and results."""


class Conv(nn.Module):
    """A two-dimensional convolution.

    Attributes:
        features: output channels.
        size: height and width of the kernel.
        stride: in both directions.
        dilation: distance of the kernel's taps.
        padding: "SAME", "VALID", or ((top, bottom), (left, right)).
        use_bias: whether a bias is added.
        kernel_init: the kernel's initializer.
        random_bias: whether the bias starts uniform within the kernel's bound, not at zero.
        dtype: computation type.
    """

    features: int
    size: int = 3
    stride: int = 1
    dilation: int = 1
    padding: str | Sequence[tuple[int, int]] = "SAME"
    use_bias: bool = True
    kernel_init: ScaledUniform = ScaledUniform()
    random_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", self.kernel_init, shape)
        y = lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (self.stride, self.stride),
            self.padding,
            rhs_dilation=(self.dilation, self.dilation),
            dimension_numbers=LAYOUT,
        )
        if self.use_bias:
            initializer = (
                SymmetricUniform(self.kernel_init.bound(shape)) if self.random_bias else Constant()
            )
            y += parameter(self, "bias", initializer, (self.features,)).astype(self.dtype)
        return y


class Dense(nn.Module):
    """A linear map of the last axis.

    Attributes:
        features: length of the result.
        use_bias: whether a bias is added.
        kernel_init: the kernel's initializer.
        dtype: computation type.
    """

    features: int
    use_bias: bool = True
    kernel_init: Initializer = ScaledUniform()
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = parameter(self, "kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x.astype(self.dtype) @ kernel.astype(self.dtype)
        if self.use_bias:
            y += parameter(self, "bias", Constant(), (self.features,)).astype(self.dtype)
        return y


class NIN(nn.Module):
    """A linear map of the channels of every pixel ("network in network"), DDPM's 1x1 convolution.

    Attributes:
        features: output channels.
        kernel_init: the weight's initializer.
        dtype: computation type.
    """

    features: int
    kernel_init: Initializer = ScaledUniform(0.1)
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weight = parameter(self, "W", self.kernel_init, (x.shape[-1], self.features))
        bias = parameter(self, "b", Constant(), (self.features,))
        return x.astype(self.dtype) @ weight.astype(self.dtype) + bias.astype(self.dtype)


class LayerNorm(nn.Module):
    """Normalization of the last axis (Ba et al. 2016), with the variance about the mean.

    Attributes:
        epsilon: added to the variance.
    """

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = parameter(self, "scale", Constant(1.0), x.shape[-1:])
        bias = parameter(self, "bias", Constant(), x.shape[-1:])
        x = x - jnp.mean(x, axis=-1, keepdims=True)
        return x * lax.rsqrt(jnp.mean(x**2, axis=-1, keepdims=True) + self.epsilon) * scale + bias


class GroupNorm(nn.Module):
    """Group normalization (Wu and He 2018), then a scale and a bias for every channel.

    Moments are taken a channel first and a group second, which never regroups the feature map, and
    the variance is about the mean: a difference of moments would lose the digits of a map whose
    mean is large against its spread.

    Attributes:
        groups: number of groups; None for four channels a group and at most 32 groups.
        epsilon: added to the variance.
        dtype: type of the result.
    """

    groups: int | None = None
    epsilon: float = 1e-6
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        groups = min(channels // 4, 32) if self.groups is None else self.groups
        if groups < 1 or channels % groups:
            width = "32, or less than 128 and of 4" if self.groups is None else f"{groups}"
            raise UsageError(
                f"A feature map of {channels} channels cannot be normalized in {groups} groups; "
                f"choose a width that makes every map a multiple of {width}."
            )
        scale = parameter(self, "scale", Constant(1.0), (channels,))
        bias = parameter(self, "bias", Constant(), (channels,))
        return _group_norm(x, scale, bias, groups, self.epsilon, self.dtype)


@functools.partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _group_norm(
    x: jax.Array, scale: jax.Array, bias: jax.Array, groups: int, epsilon: float, dtype: jnp.dtype
) -> jax.Array:
    """See `GroupNorm`; a part of the whole program, but traced once a shape, not once a layer."""
    channels = x.shape[-1]

    def group_mean(y: jax.Array) -> jax.Array:
        return y.mean(axis=(1, 2)).reshape(-1, groups, channels // groups).mean(axis=-1)

    def at_pixels(moment: jax.Array) -> jax.Array:
        return _at_channels(moment, channels)[:, None, None, :]

    y = x.astype(jnp.promote_types(dtype, jnp.float32))
    y -= at_pixels(group_mean(y))
    y *= at_pixels(lax.rsqrt(group_mean(jnp.square(y)) + epsilon)) * scale
    return (y + bias).astype(dtype)


def _at_channels(moment: jax.Array, channels: int) -> jax.Array:
    """[batch, groups] -> [batch, channels], each group's number at all of its channels.

    On CPUs by a product with zeros and ones, exactly: XLA would fuse the repetition into the loops
    over the feature map, which are then not vectorized and take twice as long.
    """
    groups = moment.shape[1]

    def product(m: jax.Array) -> jax.Array:
        spread = jnp.repeat(jnp.eye(groups, dtype=m.dtype), channels // groups, axis=1)
        return jnp.dot(m, spread, precision="highest")

    def repetition(m: jax.Array) -> jax.Array:
        return jnp.repeat(m, channels // groups, axis=1)

    return lax.platform_dependent(moment, cpu=product, default=repetition)
