"""The vision transformer of DINOv2: an image in patches, and one vector that sums it up.

Sources: Dosovitskiy et al. 2021 for the network; Oquab et al. 2024 (DINOv2), whose blocks scale
what they add (Touvron et al. 2021). All in float32 and at full precision, as metrics need it.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from scoresde.networks.initializers import Constant, Initializer, Normal, parameter
from scoresde.networks.layers import LayerNorm

WEIGHT = Normal(0.02)

A = -0.75
"""The coefficient of PyTorch's bicubic interpolation; Keys (1981) and others have -1/2."""


class Linear(nn.Module):
    """x W + b, of the last axis, at full precision.

    Attributes:
        features: length of the result.
    """

    features: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = parameter(self, "kernel", WEIGHT, (x.shape[-1], self.features))
        bias = parameter(self, "bias", Constant(), (self.features,))
        return jnp.matmul(x, kernel, precision=lax.Precision.HIGHEST) + bias


class SelfAttention(nn.Module):
    """Attention of every token to all of them.

    Attributes:
        heads: their number; they share the channels equally.
    """

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        precision, width = lax.Precision.HIGHEST, x.shape[-1]
        qkv = Linear(3 * width, name="qkv")(x).reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = jnp.moveaxis(qkv, 2, 0)
        logits = jnp.einsum("nihc,njhc->nhij", query, key, precision=precision)
        weights = nn.softmax(logits / math.sqrt(width // self.heads), axis=-1)
        h = jnp.einsum("nhij,njhc->nihc", weights, value, precision=precision)
        return Linear(width, name="proj")(h.reshape(x.shape))


class TransformerBlock(nn.Module):
    """x + g1 attention(norm(x)), and of that y + g2 mlp(norm(y)).

    Attributes:
        heads: of the attention.
        mlp_ratio: channels between the two layers of the MLP, over those of x.
        epsilon: of the normalizations.
    """

    heads: int
    mlp_ratio: float
    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        width = x.shape[-1]
        h = LayerNorm(self.epsilon, name="norm1")(x)
        h = SelfAttention(self.heads, name="attn")(h)
        x = x + parameter(self, "ls1", Constant(1.0), (width,)) * h
        h = LayerNorm(self.epsilon, name="norm2")(x)
        h = nn.gelu(Linear(int(self.mlp_ratio * width), name="fc1")(h), approximate=False)
        return x + parameter(self, "ls2", Constant(1.0), (width,)) * Linear(width, name="fc2")(h)


class VisionTransformer(nn.Module):
    """DINOv2's network without registers.

    Attributes:
        width: channels of a token.
        depth: number of blocks.
        heads: of the attention.
        patch: height and width of a patch, in pixels.
        grid: patches of the images that the positions were learned of, along either side.
        mlp_ratio: see `TransformerBlock`.
        epsilon: see `TransformerBlock`.
        offset: see `interpolation`.
    """

    width: int
    depth: int
    heads: int
    patch: int
    grid: int
    mlp_ratio: float = 4.0
    epsilon: float = 1e-6
    offset: float = 0.1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The tokens after the last normalization, [n, 1 + patches, width], the class token first.

        Args:
            x: [n, height, width, 3], both multiples of the patch.
        """
        n, (rows, columns) = len(x), (length // self.patch for length in x.shape[1:3])
        x = x.reshape(n, rows, self.patch, columns, self.patch, x.shape[-1])
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, rows * columns, -1)
        x = Linear(self.width, name="patch_embed")(x)
        token = self._parameter("cls_token", (self.width,))
        first = token + self._parameter("cls_position", (self.width,))
        x = x + self._positions(rows, columns)
        x = jnp.concatenate([jnp.broadcast_to(first, (n, 1, self.width)), x], axis=1)
        for i in range(self.depth):
            block = TransformerBlock(self.heads, self.mlp_ratio, self.epsilon, name=f"blocks_{i}")
            x = block(x)
        return LayerNorm(self.epsilon, name="norm")(x)

    def _parameter(
        self, name: str, shape: tuple[int, ...], kind: Initializer = WEIGHT
    ) -> jax.Array:
        return parameter(self, name, kind, shape)

    def _positions(self, rows: int, columns: int) -> jax.Array:
        """One vector a patch, interpolated where the image has other sides, [patches, width]."""
        learned = self._parameter("positions", (self.grid, self.grid, self.width))
        if (rows, columns) != (self.grid, self.grid):
            a, b = (interpolation(self.grid, size, self.offset) for size in (rows, columns))
            precision = lax.Precision.HIGHEST
            learned = jnp.einsum("ri,sj,ijc->rsc", a, b, learned, precision=precision)
        return learned.reshape(rows * columns, self.width)


def interpolation(length: int, size: int, offset: float) -> np.ndarray:
    """Weights of bicubic interpolation without antialiasing, [size, length] in float32.

    The value i of the result is at (i + 1/2) length / (size + offset) - 1/2; beyond its ends, the
    input goes on as its last value.

    Args:
        length: values of the input.
        size: values of the result.
        offset: 0.1 in DINOv2's own code, which rounds the size down after scaling by (size + 0.1) /
            length, to be sure to get it; 0 where the size is what is asked for.
    """
    place = (np.arange(size) + 0.5) * (length / (size + offset)) - 0.5
    before = np.floor(place).astype(int)
    weights = np.zeros((size, length))
    for tap in (-1, 0, 1, 2):
        x = np.abs(place - (before + tap))
        near = ((A + 2) * x - (A + 3)) * x * x + 1
        far = ((A * x - 5 * A) * x + 8 * A) * x - 4 * A
        column = np.clip(before + tap, 0, length - 1)
        np.add.at(weights, (np.arange(size), column), np.where(x <= 1, near, far))
    return weights.astype(np.float32)
