"""Inception-v3 as the Frechet inception distance knows it: the TensorFlow graph of 2015-12-05.

It is not the network of torchvision: 1008 logits, averages of 3x3 pixels that leave out those
beyond the edge, and a maximum in the place of the last block's average. Batch normalization, whose
statistics are fixed, is in the kernels and biases: `metrics.inception.load` puts it there.

Images are [n, height, width, channels], in float32 and at full precision: what accelerators compute
faster (TF32, bfloat16) changes features by 1e-3 and more.

Sources: Szegedy et al. 2016; Heusel et al. 2017 for the graph; its names are those of the PyTorch
file that holds its weights.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from scoresde.networks.initializers import Constant, ScaledUniform, parameter
from scoresde.networks.upsampled import LAYOUT

LOGITS = 1008
"""Classes of ImageNet, and eight that the graph has besides."""

CHANNELS_7X7 = {"Mixed_6b": 128, "Mixed_6c": 160, "Mixed_6d": 160, "Mixed_6e": 192}
"""Channels between the 7x1 and 1x7 kernels of four blocks that are alike otherwise."""


class ConvReLU(nn.Module):
    """max(0, convolution + bias).

    Attributes:
        features: output channels.
        size: height and width of the kernel.
        stride: in both directions.
        padding: "SAME", which centers the kernel, or "VALID".
    """

    features: int
    size: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.size, x.shape[-1], self.features)
        kernel = parameter(self, "kernel", ScaledUniform(), shape)
        bias = parameter(self, "bias", Constant(), (self.features,))
        strides = (self.stride, self.stride)
        y = lax.conv_general_dilated(
            x,
            kernel,
            strides,
            self.padding,
            dimension_numbers=LAYOUT,
            precision=lax.Precision.HIGHEST,
        )
        return nn.relu(y + bias)


def _three_by_three(join: Callable, x: jax.Array, stride: int = 1) -> jax.Array:
    """`join` over 3x3 pixels, without padding.

    As sums or maxima of slices, which take XLA on CPUs a fifth of the time of its windows.
    """
    for axis in (2, 1):
        last = x.shape[axis] - 3
        a, b, c = (
            lax.slice_in_dim(x, i, i + last // stride * stride + 1, stride, axis) for i in range(3)
        )
        x = join(join(a, b), c)
    return x


def _padded(x: jax.Array, value: float) -> jax.Array:
    return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=value)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of 3x3 pixels, every second time, without padding."""
    return _three_by_three(jnp.maximum, x, stride=2)


def mean_of_neighbors(x: jax.Array) -> jax.Array:
    """The mean of 3x3 pixels, of those that are within the image."""
    rows, columns = (np.full(length, 3) - _at_ends(length) for length in x.shape[1:3])
    counts = np.outer(rows, columns)[:, :, None].astype(np.float32)
    return _three_by_three(jnp.add, _padded(x, 0)) / counts


def _at_ends(length: int) -> np.ndarray:
    """How many of the three pixels around each are beyond the ends."""
    place = np.arange(length)
    return (place == 0).astype(int) + (place == length - 1)


def max_of_neighbors(x: jax.Array) -> jax.Array:
    """The largest of 3x3 pixels, of those that are within the image."""
    return _three_by_three(jnp.maximum, _padded(x, -jnp.inf))


class Inception35(nn.Module):
    """The blocks 5b to 5d, at 35x35 pixels.

    Attributes:
        pool_features: channels of the pool's branch.
    """

    pool_features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a = ConvReLU(64, name="branch1x1")(x)
        b = ConvReLU(48, name="branch5x5_1")(x)
        b = ConvReLU(64, (5, 5), name="branch5x5_2")(b)
        c = ConvReLU(64, name="branch3x3dbl_1")(x)
        c = ConvReLU(96, (3, 3), name="branch3x3dbl_2")(c)
        c = ConvReLU(96, (3, 3), name="branch3x3dbl_3")(c)
        d = ConvReLU(self.pool_features, name="branch_pool")(mean_of_neighbors(x))
        return jnp.concatenate([a, b, c, d], axis=-1)


class Inception35To17(nn.Module):
    """The block 6a."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a = ConvReLU(384, (3, 3), 2, "VALID", name="branch3x3")(x)
        b = ConvReLU(64, name="branch3x3dbl_1")(x)
        b = ConvReLU(96, (3, 3), name="branch3x3dbl_2")(b)
        b = ConvReLU(96, (3, 3), 2, "VALID", name="branch3x3dbl_3")(b)
        return jnp.concatenate([a, b, max_pool(x)], axis=-1)


class Inception17(nn.Module):
    """The blocks 6b to 6e, at 17x17 pixels.

    Attributes:
        channels: those between a block's long kernels.
    """

    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        inner = self.channels
        a = ConvReLU(192, name="branch1x1")(x)
        b = ConvReLU(inner, name="branch7x7_1")(x)
        b = ConvReLU(inner, (1, 7), name="branch7x7_2")(b)
        b = ConvReLU(192, (7, 1), name="branch7x7_3")(b)
        c = ConvReLU(inner, name="branch7x7dbl_1")(x)
        c = ConvReLU(inner, (7, 1), name="branch7x7dbl_2")(c)
        c = ConvReLU(inner, (1, 7), name="branch7x7dbl_3")(c)
        c = ConvReLU(inner, (7, 1), name="branch7x7dbl_4")(c)
        c = ConvReLU(192, (1, 7), name="branch7x7dbl_5")(c)
        d = ConvReLU(192, name="branch_pool")(mean_of_neighbors(x))
        return jnp.concatenate([a, b, c, d], axis=-1)


class Inception17To8(nn.Module):
    """The block 7a."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a = ConvReLU(192, name="branch3x3_1")(x)
        a = ConvReLU(320, (3, 3), 2, "VALID", name="branch3x3_2")(a)
        b = ConvReLU(192, name="branch7x7x3_1")(x)
        b = ConvReLU(192, (1, 7), name="branch7x7x3_2")(b)
        b = ConvReLU(192, (7, 1), name="branch7x7x3_3")(b)
        b = ConvReLU(192, (3, 3), 2, "VALID", name="branch7x7x3_4")(b)
        return jnp.concatenate([a, b, max_pool(x)], axis=-1)


class Inception8(nn.Module):
    """The blocks 7b and 7c, at 8x8 pixels.

    Attributes:
        largest: whether the pool takes the largest pixel, as 7c does, or the mean.
    """

    largest: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        a = ConvReLU(320, name="branch1x1")(x)
        b = ConvReLU(384, name="branch3x3_1")(x)
        b1 = ConvReLU(384, (1, 3), name="branch3x3_2a")(b)
        b2 = ConvReLU(384, (3, 1), name="branch3x3_2b")(b)
        c = ConvReLU(448, name="branch3x3dbl_1")(x)
        c = ConvReLU(384, (3, 3), name="branch3x3dbl_2")(c)
        c1 = ConvReLU(384, (1, 3), name="branch3x3dbl_3a")(c)
        c2 = ConvReLU(384, (3, 1), name="branch3x3dbl_3b")(c)
        d = max_of_neighbors(x) if self.largest else mean_of_neighbors(x)
        d = ConvReLU(192, name="branch_pool")(d)
        return jnp.concatenate([a, b1, b2, c1, c2, d], axis=-1)


class InceptionV3(nn.Module):
    """Four layers' means over all pixels, and the logits."""

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """The features by the names that they have in the literature, their lengths.

        Args:
            x: [n, 299, 299, 3], in [-1, 1].

        Returns:
            "64", "192", "768" and "2048" (the layer pool_3), [n, that many], and
            "logits_unbiased", [n, 1008], to which the published bias is not added.
        """
        found = {}
        x = ConvReLU(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)
        x = ConvReLU(32, (3, 3), padding="VALID", name="Conv2d_2a_3x3")(x)
        x = max_pool(ConvReLU(64, (3, 3), name="Conv2d_2b_3x3")(x))
        found["64"] = x.mean(axis=(1, 2))
        x = ConvReLU(80, name="Conv2d_3b_1x1")(x)
        x = max_pool(ConvReLU(192, (3, 3), padding="VALID", name="Conv2d_4a_3x3")(x))
        found["192"] = x.mean(axis=(1, 2))
        for name, pool_features in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = Inception35(pool_features, name=name)(x)
        x = Inception35To17(name="Mixed_6a")(x)
        for name, channels in CHANNELS_7X7.items():
            x = Inception17(channels, name=name)(x)
        found["768"] = x.mean(axis=(1, 2))
        x = Inception17To8(name="Mixed_7a")(x)
        x = Inception8(largest=False, name="Mixed_7b")(x)
        x = Inception8(largest=True, name="Mixed_7c")(x)
        found["2048"] = x.mean(axis=(1, 2))
        weight = parameter(self, "fc", ScaledUniform(), (found["2048"].shape[-1], LOGITS))
        found["logits_unbiased"] = jnp.matmul(
            found["2048"], weight, precision=lax.Precision.HIGHEST
        )
        return found
