"""score_sde's classifier of noisy images: a Wide ResNet that is told sigma.

Source: Song et al. 2021 (arXiv:2011.13456, appendix I.1); Zagoruyko and Komodakis 2016
(arXiv:1605.07146). Names of submodules are those of its published weights.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import embeddings, layers, options
from scoresde.networks.classifier_network import ClassifierNetwork
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import ScaledUniform
from scoresde.registry import UsageError

EPSILON = 1e-5
"""What normalizations add to the variance."""

FEATURES = 512
"""Of the embedding of the noise level."""

HE = ScaledUniform(2.0, "in")
"""The initializer of convolutions before a ReLU."""


class WideResnetBlock(nn.Module):
    """Normalization, ReLU, convolution, + embedding, normalization, ReLU, convolution.

    Attributes:
        features: output channels; the shortcut has zeros in those that are new.
        stride: of the first convolution; the shortcut takes means.
        activate_first: whether the shortcut, too, is of the activated input.
        dtype: computation type.
    """

    features: int
    stride: int = 1
    activate_first: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """Maps x [batch, height, width, channels] with an activated embedding [batch, features]."""
        h = _activated(x, "init_bn", self.dtype)
        shortcut = h if self.activate_first else x
        conv = {"use_bias": False, "kernel_init": HE, "dtype": self.dtype}
        h = layers.Conv(self.features, stride=self.stride, name="conv1", **conv)(h)
        h += layers.Dense(self.features, dtype=self.dtype)(embedding)[:, None, None, :]
        h = layers.Conv(self.features, name="conv2", **conv)(_activated(h, "bn_2", self.dtype))
        added = self.features - shortcut.shape[-1]
        if added:
            strides = (self.stride, self.stride)
            shortcut = nn.avg_pool(shortcut, strides, strides)
            shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, added)))
        return h + shortcut


def _activated(x, name, dtype):
    return GroupNorm(None, EPSILON, dtype, layers.relu, name=name)(x)


class WideResnetGroup(nn.Module):
    """Blocks of one width.

    Attributes:
        blocks: how many.
        features: output channels.
        stride: of the first of them.
        activate_first: as of `WideResnetBlock`, of the first of them.
        dtype: computation type.
    """

    blocks: int
    features: int
    stride: int = 1
    activate_first: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, embedding: jax.Array) -> jax.Array:
        """As of `WideResnetBlock`."""
        for number in range(self.blocks):
            first = {"stride": self.stride, "activate_first": self.activate_first}
            options = {"dtype": self.dtype, **({} if number else first)}
            x = WideResnetBlock(self.features, **options)(x, embedding)
        return x


class WideResnet(nn.Module, kw_only=True):
    """See `wide_resnet`."""

    classes: int
    blocks_per_group: int
    channel_multiplier: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: jax.Array, noise_condition: jax.Array, *, train: bool = False
    ) -> jax.Array:
        """Maps x [batch, height, width, channels], sigma [batch] to the logits."""
        if x.shape[1] % 4 or x.shape[2] % 4:
            raise UsageError(
                "network 'wide_resnet': images are halved twice, and "
                f"{x.shape[1]}x{x.shape[2]} cannot be."
            )
        dtype = jnp.promote_types(self.dtype, jnp.float32)
        dense = {"features": FEATURES, "dtype": dtype}
        fourier = embeddings.GaussianFourierProjection(128, 16.0)(jnp.log(noise_condition))
        embedding = nn.swish(layers.Dense(**dense)(fourier))
        embedding = nn.swish(layers.Dense(**dense)(embedding))

        h = self._standardized(x.astype(dtype))
        h = layers.Conv(16, use_bias=False, kernel_init=HE, name="init_conv", dtype=self.dtype)(h)
        for level in range(3):
            features = 16 * self.channel_multiplier * 2**level
            options = {"stride": 2 if level else 1, "activate_first": not level}
            group = WideResnetGroup(self.blocks_per_group, features, **options, dtype=self.dtype)
            h = group(h, embedding)
        h = _activated(h, "pre-pool-bn", self.dtype).astype(dtype).mean(axis=(1, 2))
        return layers.Dense(self.classes, dtype=dtype)(h)

    def _standardized(self, x: jax.Array) -> jax.Array:
        """x with the data's moments taken out, and then each image's own."""
        x = (x - jnp.asarray(self.mean, x.dtype)) / jnp.asarray(self.std, x.dtype)
        axes = (1, 2, 3)
        x -= x.mean(axis=axes, keepdims=True)
        size = x[0].size
        std = jnp.sqrt(jnp.square(x).mean(axis=axes, keepdims=True))
        return x / jnp.maximum(std, size**-0.5)


def wide_resnet(
    *,
    num_classes: int,
    blocks_per_group: int = 4,
    channel_multiplier: int = 10,
    mean: Sequence[float] = (0.49139968, 0.48215841, 0.44653091),
    std: Sequence[float] = (0.24703223, 0.24348513, 0.26158784),
    dtype: str = "float32",
) -> ClassifierNetwork:
    """score_sde's noise-conditional Wide ResNet, by default its WRN-28-10 for CIFAR-10.

    The noise condition is sigma, whose logarithm it takes. It was made for VE, of data in [0, 1]:
    every image is standardized.

    Args:
        num_classes: number of classes.
        blocks_per_group: residual blocks at each of three sizes.
        channel_multiplier: a sixteenth of the channels at full size.
        mean: of the data's channels, or one number for all.
        std: their standard deviations, likewise.
        dtype: "float32", "bfloat16" or, with JAX's 64 bits, "float64".

    Raises:
        UsageError: an option out of range.
    """
    counts = {"num_classes": num_classes, "blocks_per_group": blocks_per_group}
    for option, value in {**counts, "channel_multiplier": channel_multiplier}.items():
        options.in_range("wide_resnet", option, value, 1, kind=int)
    return ClassifierNetwork(
        WideResnet(
            classes=num_classes,
            blocks_per_group=blocks_per_group,
            channel_multiplier=channel_multiplier,
            mean=tuple(mean),
            std=options.numbers("wide_resnet", "std", std, kind=float, least=1),
            dtype=options.compute_options("wide_resnet", dtype),
        )
    )
