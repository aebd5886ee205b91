"""NCSN and NCSNv2 (Song and Ermon 2019, arXiv:1907.05600; 2020, arXiv:2006.09011).

A residual network whose deeper levels are dilated, then a RefineNet. NCSN knows the noise level
through its normalizations; NCSNv2 is unconditional and only divides its output by sigma.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from scoresde.networks import embeddings, layers, options
from scoresde.networks.blocks import rematerialized
from scoresde.networks.initializers import PYTORCH, Constant, Normal, parameter
from scoresde.networks.network import Network
from scoresde.networks.refinenet import RefineBlock

EPSILON = 1e-5
"""What normalizations add to a variance."""


class Architecture(NamedTuple):
    """Levels of a network, the finest first.

    Attributes:
        widths: channels of each level's residual blocks, in units of nf.
        refined: channels of each level's refine block, in units of nf.
    """

    widths: Sequence[int]
    refined: Sequence[int]


ARCHITECTURES = {
    64: Architecture((1, 2, 2, 2), (1, 2, 2, 2)),
    128: Architecture((1, 2, 2, 4, 4), (1, 1, 2, 2, 4)),
    256: Architecture((1, 2, 2, 2, 4, 4), (1, 1, 2, 2, 2, 4)),
}
"""Architectures by the image size they were made for. The two deepest levels are dilated by 2 and
4 in place of being halved."""


class InstanceNorm2dPlus(nn.Module):
    """Instance normalization that keeps how the channels' means compare (InstanceNorm++).

        gamma ((x - mean) / std + alpha (mean - m) / v) + beta,

    with the mean and std of every channel, and m and v the mean and std of these means.

    Attributes:
        num_scales: number of noise levels with parameters of their own, None for one set for all.
        dtype: type of the result.
    """

    num_scales: int | None = None
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, level: jax.Array) -> jax.Array:
        """Normalizes x [batch, height, width, channels] at the level [batch]."""
        gain, shape = Normal(0.02, mean=1.0), (self.num_scales or 1, 1, 1, x.shape[-1])
        alpha = parameter(self, "alpha", gain, shape)
        gamma = parameter(self, "gamma", gain, shape)
        beta = parameter(self, "beta", Constant(), shape)
        if self.num_scales is not None:
            alpha, gamma, beta = alpha[level], gamma[level], beta[level]

        def standardize(y: jax.Array, axes: tuple[int, ...]) -> jax.Array:
            return (y - y.mean(axes, keepdims=True)) * lax.rsqrt(
                y.var(axes, keepdims=True) + EPSILON
            )

        x = x.astype(jnp.float32)
        means = x.mean(axis=(1, 2), keepdims=True)
        h = standardize(x, (1, 2)) + alpha * standardize(means, (3,))
        return (gamma * h + beta).astype(self.dtype)


class ConvMeanPool(nn.Module):
    """A convolution, then the mean of every 2x2 pixels.

    Attributes:
        features: output channels.
        size: height and width of the kernel.
        dtype: computation type.
    """

    features: int
    size: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = layers.Conv(
            self.features, self.size, kernel_init=PYTORCH, random_bias=True, dtype=self.dtype
        )
        return nn.avg_pool(conv(x), (2, 2), strides=(2, 2))


class ResidualBlock(nn.Module):
    """A residual block of the encoder; the first one of a level widens and halves, or dilates.

    Attributes:
        features: output channels.
        activation: the nonlinearity.
        norm: constructor of the normalizations.
        first: whether it is the first block of a level below the finest.
        dilation: of the 3x3 convolutions; above 1 the first block of a level does not halve.
        dtype: computation type.
    """

    features: int
    activation: Callable[[jax.Array], jax.Array]
    norm: Callable[[], nn.Module]
    first: bool = False
    dilation: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, level: jax.Array) -> jax.Array:
        conv = functools.partial(
            layers.Conv,
            dilation=self.dilation,
            kernel_init=PYTORCH,
            random_bias=True,
            dtype=self.dtype,
        )
        h = self.activation(self.norm()(x, level))
        h = conv(x.shape[-1] if self.first else self.features)(h)
        h = self.activation(self.norm()(h, level))
        if self.first and self.dilation == 1:
            h = ConvMeanPool(self.features, dtype=self.dtype)(h)
            x = ConvMeanPool(self.features, size=1, dtype=self.dtype)(x)
        else:
            h = conv(self.features)(h)
            if self.first:
                x = conv(self.features)(x)
        return x + h


class NCSN(nn.Module):
    """The trunk of both networks; see `ncsn` and `ncsnv2` for the options.

    Attributes:
        name_in_errors: how messages call the network.
        conditional: whether normalizations have parameters for every noise level.
        continuous: whether the noise condition is sigma and not its index.
        image_channels: channels of the image, where others beside it are among x's; None for all.
    """

    name_in_errors: str
    conditional: bool
    architecture: Architecture
    nf: int
    num_scales: int
    sigma_min: float
    sigma_max: float
    scale_by_sigma: bool
    continuous: bool
    nonlinearity: str
    interpolation: str
    centered: bool
    dtype: jnp.dtype
    remat: bool
    image_channels: int | None = None

    stochastic = False

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        noise_condition: jax.Array,
        labels: jax.Array | None = None,
        *,
        train: bool = False,
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], noise_condition [batch] to the shape of x."""
        widths, channels = self.architecture.widths, self.image_channels or x.shape[-1]
        options.divisible_image(self.name_in_errors, x.shape, len(widths) - 2)
        options.labels_have_classes(self.name_in_errors, labels, None)
        level = jnp.round(noise_condition).astype(jnp.int32)
        activation = layers.ACTIVATIONS[self.nonlinearity]
        norm = functools.partial(
            InstanceNorm2dPlus, self.num_scales if self.conditional else None, self.dtype
        )
        residual_block = functools.partial(
            rematerialized(ResidualBlock) if self.remat else ResidualBlock,
            activation=activation,
            norm=norm,
            dtype=self.dtype,
        )
        refine_block = functools.partial(
            rematerialized(RefineBlock) if self.remat else RefineBlock,
            activation=activation,
            norm=norm if self.conditional else None,
            interpolation=self.interpolation,
            dtype=self.dtype,
        )
        conv = functools.partial(layers.Conv, kernel_init=PYTORCH, random_bias=True)

        x = x.astype(jnp.float32)
        h = conv(self.nf, dtype=self.dtype)(x if self.centered else 2 * x - 1)
        maps = []
        dilations = [1] * (len(widths) - 2) + [2, 4]
        for depth, (width, dilation) in enumerate(zip(widths, dilations, strict=True)):
            for first in (depth > 0, False):
                block = residual_block(self.nf * width, first=first, dilation=dilation)
                h = block(h, level)
            maps.append(h)

        refined: list[jax.Array] = []
        for depth in reversed(range(len(widths))):
            features = self.nf * self.architecture.refined[depth]
            block = refine_block(features, last=depth == 0)
            refined = [block([maps[depth], *refined], level)]

        h = activation(norm()(refined[0], level))
        h = conv(channels)(h)
        if self.scale_by_sigma:
            sigma = (
                noise_condition
                if self.continuous
                else embeddings.sigma_at(level, self.sigma_min, self.sigma_max, self.num_scales)
            )
            h /= sigma[:, None, None, None]
        return h


def ncsn(
    *,
    nf: int = 128,
    num_scales: int = 10,
    sigma_min: float = 0.01,
    sigma_max: float = 1.0,
    scale_by_sigma: bool = False,
    nonlinearity: str = "elu",
    interpolation: str = "bilinear",
    centered: bool = False,
    dtype: str = "float32",
    remat: bool = False,
) -> Network:
    """NCSN; the defaults are its CIFAR-10 network.

    The noise condition is the noise level's index, 0 for the greatest sigma.

    Args:
        nf: channels at full resolution.
        num_scales: number of noise levels, each with its own parameters in every normalization.
        sigma_min: least sigma.
        sigma_max: greatest sigma.
        scale_by_sigma: whether to divide the output by sigma.
        nonlinearity: "elu", "relu", "lrelu" or "swish".
        interpolation: "bilinear" or "nearest", between resolutions of the decoder.
        centered: whether data lie in [-1, 1]; if not, in [0, 1], and the network maps x to 2x - 1.
        dtype: "float32" or "bfloat16".
        remat: whether to recompute blocks in the backward pass.

    Raises:
        UsageError: an option out of range.
    """
    return _build("ncsn", **locals(), conditional=True, continuous=False, resolution=64)


def ncsnv2(
    *,
    resolution: int = 64,
    nf: int = 128,
    num_scales: int = 232,
    sigma_min: float = 0.01,
    sigma_max: float = 50.0,
    scale_by_sigma: bool = True,
    continuous: bool = False,
    nonlinearity: str = "elu",
    interpolation: str = "bilinear",
    centered: bool = False,
    dtype: str = "float32",
    remat: bool = False,
) -> Network:
    """NCSNv2; the defaults are its CIFAR-10 network.

    The noise condition is the noise level's index, 0 for the greatest sigma, or sigma itself.

    Args:
        resolution: the architecture, by the image size that it was made for: 64 (and less), 128
            or 256.
        nf: channels at full resolution.
        num_scales: number of noise levels.
        sigma_min: least sigma.
        sigma_max: greatest sigma.
        scale_by_sigma: whether to divide the output by sigma.
        continuous: whether the noise condition is sigma and not its index.
        nonlinearity: "elu", "relu", "lrelu" or "swish".
        interpolation: "bilinear" or "nearest", between resolutions of the decoder.
        centered: whether data lie in [-1, 1]; if not, in [0, 1], and the network maps x to 2x - 1.
        dtype: "float32" or "bfloat16".
        remat: whether to recompute blocks in the backward pass.

    Raises:
        UsageError: an option out of range.
    """
    return _build("ncsnv2", **locals(), conditional=False)


def _build(name: str, *, resolution: int, **fields) -> Network:
    """The checked NCSN of the factory called `name`."""
    options.one_of(name, "resolution", resolution, ARCHITECTURES)
    options.one_of(name, "nonlinearity", fields["nonlinearity"], layers.ACTIVATIONS)
    options.one_of(name, "interpolation", fields["interpolation"], ("bilinear", "nearest"))
    options.in_range(name, "nf", fields["nf"], 1, kind=int)
    options.sigma_table(name, fields["sigma_min"], fields["sigma_max"], fields["num_scales"])
    fields["dtype"] = options.compute_options(name, fields["dtype"])
    return Network(NCSN(name, architecture=ARCHITECTURES[resolution], **fields))
