"""Invertible maps of images with exact log determinants, and the small networks that choose them.

The parts of Flow++ (Ho et al. 2019, arXiv:1902.00275, sections 3.1 to 3.3).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from scoresde.networks import layers
from scoresde.networks.initializers import Constant, Initializer, Normal, ScaledUniform, parameter

_SMALLEST_LOG_SCALE = -7.0


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class NearIdentity(Initializer):
    """The identity matrix plus N(0, std^2)."""

    std: float = 1e-3

    def draw(self, generator: np.random.Generator, shape) -> np.ndarray:
        return np.eye(*shape, dtype=np.float32) + Normal(self.std).draw(generator, shape)


def split_columns(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The white and the black fields of a checkerboard, each of half the width."""
    batch, height, width, channels = x.shape
    even_rows = (jnp.arange(height) % 2 == 0)[:, None, None]
    left, right = jnp.moveaxis(x.reshape(batch, height, width // 2, 2, channels), 3, 0)
    return jnp.where(even_rows, left, right), jnp.where(even_rows, right, left)


def merge_columns(white: jax.Array, black: jax.Array) -> jax.Array:
    """The inverse of `split_columns`."""
    batch, height, width, channels = white.shape
    even_rows = (jnp.arange(height) % 2 == 0)[:, None, None]
    pair = jnp.where(even_rows, white, black), jnp.where(even_rows, black, white)
    return jnp.stack(pair, axis=3).reshape(batch, height, 2 * width, channels)


def logistic_mixture_logit(
    x: jax.Array, logits: jax.Array, means: jax.Array, log_scales: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """logit(F(x)) and its log derivative, F the distribution function of a mixture of logistics.

    Both tails are taken in logarithms. With equal means 0 and log scales 0 it is the identity.

    Args:
        x: [...].
        logits: of the mixture's weights, [..., components].
        means: like logits.
        log_scales: like logits.
    """
    log_weights = jax.nn.log_softmax(logits)
    z = (x[..., None] - means) * jnp.exp(-log_scales)
    below, above = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
    log_cdf = jax.nn.logsumexp(log_weights + below, axis=-1)
    log_survival = jax.nn.logsumexp(log_weights + above, axis=-1)
    log_density = jax.nn.logsumexp(log_weights + below + above - log_scales, axis=-1)
    return log_cdf - log_survival, log_density - log_cdf - log_survival


def _sum(x):
    return jnp.sum(jnp.reshape(x, (x.shape[0], -1)), axis=1)


class GatedConv(nn.Module):
    """x + a * sigmoid(b), with a and b from two convolutions of x and a map of the context."""

    @nn.compact
    def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
        h = layers.Conv(x.shape[-1])(nn.swish(x))
        if context is not None:
            h += layers.NIN(x.shape[-1])(context)
        h = layers.NIN(2 * x.shape[-1])(nn.swish(h))
        value, gate = jnp.split(h, 2, axis=-1)
        return x + value * nn.sigmoid(gate)


class GatedAttention(nn.Module):
    """x + a * sigmoid(b), with a and b from attention over all pixels, whose positions are learned.

    Attributes:
        heads: number of heads; they share the channels equally.
    """

    heads: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        h = x + parameter(self, "position", Normal(0.01), (height, width, channels))
        h = h.reshape(batch, height * width, channels)
        query, key, value = (
            layers.NIN(channels, ScaledUniform())(h).reshape(*h.shape[:2], self.heads, -1)
            for _ in range(3)
        )
        h = jax.nn.dot_product_attention(query, key, value).reshape(x.shape)
        value, gate = jnp.split(layers.NIN(2 * channels)(h), 2, axis=-1)
        return x + value * nn.sigmoid(gate)


class Mixing(nn.Module):
    """An affine and a linear map of the channels. Returns its log determinant a pixel as well."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        channels = x.shape[-1]
        log_scale = parameter(self, "log_scale", Constant(), (channels,))
        bias = parameter(self, "bias", Constant(), (channels,))
        weight = parameter(self, "W", NearIdentity(), (channels, channels))
        y = (x * jnp.exp(log_scale) + bias) @ weight
        return y, jnp.sum(log_scale) + jnp.linalg.slogdet(weight)[1]


class Coupling(nn.Module):
    """Moves one half as the other half and the context say. Returns its log determinant as well.

    moved -> logit(F(moved)) exp(a) + b. It is monotonic in `moved`, hence invertible.

    Attributes:
        filters: channels of the network that chooses a, b and F.
        blocks: its number of gated convolutions (and attentions).
        components: of the mixture of logistics F.
        heads: heads of the attention; 0 for none.
    """

    filters: int
    blocks: int
    components: int
    heads: int

    @nn.compact
    def __call__(
        self, moved: jax.Array, kept: jax.Array, context: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        h = layers.Conv(self.filters)(kept)
        for _ in range(self.blocks):
            h = layers.LayerNorm()(GatedConv()(h, context))
            if self.heads:
                h = layers.LayerNorm()(GatedAttention(self.heads)(h))
        count = 2 + 3 * self.components
        # Small, for a flow near the identity; not silent, or all components would stay alike.
        h = layers.Conv(moved.shape[-1] * count, kernel_init=ScaledUniform(0.01))(nn.swish(h))
        h = h.reshape(*moved.shape, count)
        (a, b), mixture = (h[..., 0], h[..., 1]), h[..., 2:]
        logits, means, log_scales = jnp.split(mixture, 3, axis=-1)
        log_scales = jnp.maximum(log_scales, _SMALLEST_LOG_SCALE)
        y, log_slope = logistic_mixture_logit(moved, logits, means, log_scales)
        a = parameter(self, "scale", Constant(1.0), (moved.shape[-1],)) * jnp.tanh(a)
        return y * jnp.exp(a) + b, _sum(log_slope + a)
