"""The small layers every backbone is made of, and the activations by name.

Parameters are float32 whatever the computation type; normalization statistics are of that type,
and at least float32.
Images are [batch, height, width, channels]. Class and parameter names are Flax's.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from scoresde.networks.initializers import (
    Constant,
    Initializer,
    ScaledUniform,
    SymmetricUniform,
    parameter,
)
from scoresde.networks.upsampled import LAYOUT, convolve_upsampled
from scoresde.registry import UsageError
from scoresde.speed.barriers import settle_cotangents


def swish(x: jax.Array) -> jax.Array:
    """x sigmoid(x), in the function that calls it (`jax.nn.swish` is one of its own)."""
    return x * lax.logistic(x)


def relu(x: jax.Array) -> jax.Array:
    """max(x, 0), with a derivative of 0 at 0, in the function that calls it."""
    return lax.select(x <= 0, lax.full_like(x, 0), x)


ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "elu": nn.elu,
    "relu": relu,
    "lrelu": lambda x: nn.leaky_relu(x, negative_slope=0.2),
    "swish": swish,
}
"""Nonlinearities by the names that configurations use."""


class Conv(nn.Module):
    """A two-dimensional convolution.

    Attributes:
        features: output channels.
        size: height and width of the kernel.
        stride: in both directions.
        dilation: distance of the kernel's taps.
        padding: "SAME", "VALID", or ((top, bottom), (left, right)).
        upsampled: whether every pixel of the map is repeated 2x2 times first; the kernel is then
            3x3, and stride, dilation and padding are these defaults.
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
    upsampled: bool = False
    use_bias: bool = True
    kernel_init: ScaledUniform = ScaledUniform()
    random_bias: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, apart: bool = False) -> Any:
        """The convolution of x; if `apart`, without the bias [features], and the bias."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", self.kernel_init, shape)
        x, kernel = settle_cotangents(x.astype(self.dtype), kernel)
        if self.upsampled:
            if (self.stride, self.dilation, self.padding) != (1, 1, "SAME"):
                raise UsageError("An upsampled map has no stride, dilation or padding of its own.")
            y = convolve_upsampled(x, kernel)
        else:
            y = lax.conv_general_dilated(
                x,
                kernel.astype(self.dtype),
                (self.stride, self.stride),
                self.padding,
                rhs_dilation=(self.dilation, self.dilation),
                dimension_numbers=LAYOUT,
            )
        if not self.use_bias:
            return (y, jnp.zeros(self.features)) if apart else y
        initializer = (
            SymmetricUniform(self.kernel_init.bound(shape)) if self.random_bias else Constant()
        )
        bias = parameter(self, "bias", initializer, (self.features,))
        return (y, bias) if apart else add_bias(y, bias)


@jax.custom_jvp
def plus_bias(y: jax.Array, bias: jax.Array) -> jax.Array:
    """y [batch, ..., channels] + bias [channels], in y's type.

    The bias's derivative is summed in its own type: in bfloat16 a sum of ones ends at 256. It is
    summed over a sample first and over samples second: all at once is one long sum for a few
    channels, which few parts of a GPU would be busy with.
    """
    return y + bias.astype(y.dtype)


@functools.partial(plus_bias.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    (y, bias), (dy, dbias) = primals, tangents
    total = plus_bias(y, bias)
    if isinstance(dbias, SymbolicZero):  # along the map alone, as likelihoods differentiate
        return total, dy
    within = tuple(range(1, y.ndim - 1))
    each = dbias + jnp.zeros_like(y[(slice(None), *(0 for _ in within))], dbias.dtype)
    each = jnp.expand_dims(lax.optimization_barrier(each), within)
    each = jnp.broadcast_to(each, y.shape).astype(y.dtype)
    return total, each if isinstance(dy, SymbolicZero) else dy + each


add_bias = jax.jit(plus_bias)
"""`plus_bias`, traced and differentiated once a shape, not once a layer."""


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
        if not self.use_bias:
            return y
        return add_bias(y, parameter(self, "bias", Constant(), (self.features,)))


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
        return add_bias(x.astype(self.dtype) @ weight.astype(self.dtype), bias)


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
