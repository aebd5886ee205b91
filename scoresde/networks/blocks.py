"""Residual blocks, resampling layers and the pyramids' merge of DDPM++ and NCSN++.

Class names are those of the networks' published weights: with flax's automatic numbering they
make the parameter tree the same as that of the original checkpoints.
"""

import functools
import math
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import layers, resampling
from scoresde.networks.dropout import Dropout
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import ScaledUniform
from scoresde.speed.barriers import settle_cotangents


class ResnetBlock(nn.Module):
    """The options that both kinds of residual block share.

    Attributes:
        features: output channels, None for as many as there are.
        nonlinearity: a key of `layers.ACTIVATIONS`.
        dropout: rate before the second convolution.
        skip_rescale: whether to divide the sum by sqrt 2.
        init_scale: scale of the last convolution's initializer, see `ScaledUniform`.
        groups: groups of the normalization, None for the default of `GroupNorm`.
        train: whether dropout is active.
        dtype: computation type.
    """

    features: int | None = None
    nonlinearity: str = "swish"
    dropout: float = 0.0
    skip_rescale: bool = False
    init_scale: float = 0.0
    groups: int | None = None
    train: bool = False
    dtype: jnp.dtype = jnp.float32

    def normalize(self, h: jax.Array, shift: jax.Array | None = None) -> jax.Array:
        """The activation of the group normalization of h + shift [(batch,) channels]."""
        activation = layers.ACTIVATIONS[self.nonlinearity]
        return GroupNorm(self.groups, dtype=self.dtype, activation=activation)(h, shift)

    def convolve(
        self, h: jax.Array, embedding: jax.Array | None, features: int, upsampled: bool = False
    ) -> tuple[jax.Array, jax.Array]:
        """From the first convolution, of h or of h upsampled, to the second, and its bias.

        The embedding is added in between.
        """
        # What is the same at all pixels is left to the normalization, which needs no pass for it.
        h, shift = layers.Conv(features, upsampled=upsampled, dtype=self.dtype)(h, apart=True)
        if embedding is not None:
            activated = layers.ACTIVATIONS[self.nonlinearity](embedding)
            shift += layers.Dense(features, dtype=self.dtype)(activated)
        h = self.normalize(h, shift)
        h = Dropout(self.dropout, not self.train)(h)
        conv = layers.Conv(features, kernel_init=ScaledUniform(self.init_scale), dtype=self.dtype)
        return conv(h, apart=True)

    def merge(self, x: jax.Array, h: jax.Array, bias: jax.Array) -> jax.Array:
        """The residual sum, with a bias."""
        return _residual_sum(x, h, bias, self.skip_rescale)


@functools.partial(jax.jit, static_argnames="rescaled")
def _residual_sum(x: jax.Array, h: jax.Array, bias: jax.Array, rescaled: bool) -> jax.Array:
    total = layers.plus_bias(x + h, bias)
    return total / math.sqrt(2) if rescaled else total


class ResnetBlockDDPMpp(ResnetBlock):
    """The block of Ho et al. 2020: GroupNorm, act, conv, + embedding, GroupNorm, act, conv."""

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array | None) -> jax.Array:
        """Maps x [batch, height, width, channels] with embedding [batch, features] or None."""
        (x,), features = settle_cotangents(x), self.features or x.shape[-1]
        h, bias = self.convolve(self.normalize(x), embedding, features)
        if x.shape[-1] != features:
            x = layers.NIN(features, dtype=self.dtype)(x)
        return self.merge(x, h, bias)


class ResnetBlockBigGANpp(ResnetBlock):
    """The block of BigGAN (Brock et al. 2019), which also resamples.

    Attributes:
        resample: "up", "down" or None.
        kernel: filter taps of one axis, see `resampling`.
    """

    resample: str | None = None
    kernel: Sequence[float] = (1, 1)

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array | None) -> jax.Array:
        """Maps x [batch, height, width, channels] with embedding [batch, features] or None."""
        (x,), features = settle_cotangents(x), self.features or x.shape[-1]
        h = self.normalize(x)
        copied = self.resample == "up" and resampling.copies(self.kernel)
        if self.resample == "up" and not copied:
            h = resampling.upsample(h, self.kernel)
        elif self.resample == "down":
            h, x = (resampling.downsample(each, self.kernel) for each in (h, x))
        h, bias = self.convolve(h, embedding, features, copied)
        if x.shape[-1] != features or self.resample:
            x, other = layers.Conv(features, 1, dtype=self.dtype)(x, apart=True)
            bias = bias + other  # new: they are parameters
            if self.resample == "up":  # a map of channels can wait until there are fewer pixels
                x = resampling.upsample(x, self.kernel)
        return self.merge(x, h, bias)


class Resample(nn.Module):
    """Resampling by two outside a residual block, with or without a convolution.

    Attributes:
        features: output channels with a convolution, None for as many as there are.
        with_conv: whether a 3x3 convolution takes part.
        fir: whether the convolution is fused with the FIR filter (`resampling.Conv2d`); otherwise
            it follows nearest-neighbor upsampling, or has a stride of two.
        kernel: filter taps of one axis.
        dtype: computation type.
    """

    features: int | None = None
    with_conv: bool = False
    fir: bool = False
    kernel: Sequence[float] = (1, 1)
    dtype: jnp.dtype = jnp.float32


class Downsample(Resample):
    """Halves height and width; see `Resample`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = self.features or x.shape[-1]
        if not self.with_conv:
            return resampling.downsample(x, self.kernel)
        if self.fir:
            return resampling.Conv2d(features, "down", self.kernel, self.dtype)(x)
        padding = ((0, 1), (0, 1))
        return layers.Conv(features, stride=2, padding=padding, dtype=self.dtype)(x)


class Upsample(Resample):
    """Doubles height and width; see `Resample`."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        features = self.features or x.shape[-1]
        if not self.with_conv:
            return resampling.upsample(x, self.kernel)
        if self.fir:
            return resampling.Conv2d(features, "up", self.kernel, self.dtype)(x)
        return layers.Conv(features, upsampled=True, dtype=self.dtype)(x)


class Combine(nn.Module):
    """Merges an image pyramid into feature maps, by sum or by concatenation, through a 1x1 conv.

    Attributes:
        method: "sum" or "cat".
        dtype: computation type.
    """

    method: str = "sum"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, pyramid: jax.Array, h: jax.Array) -> jax.Array:
        pyramid = layers.Conv(h.shape[-1], 1, dtype=self.dtype)(pyramid)
        return pyramid + h if self.method == "sum" else jnp.concatenate([pyramid, h], axis=-1)


def rematerialized(cls: type[nn.Module]) -> type[nn.Module]:
    """`cls` with its activations recomputed in the backward pass, under its own name.

    Flax numbers submodules by their class's name: keeping it keeps the parameter tree the same.
    """
    lifted = nn.remat(cls)
    lifted.__name__ = cls.__name__
    return lifted
