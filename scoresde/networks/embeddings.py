"""Embeddings of what a network is conditioned on: the noise level and the class."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from scoresde.networks import layers
from scoresde.networks.initializers import Initializer, Normal, ScaledUniform, parameter


class GaussianFourierProjection(nn.Module):
    """[sin 2 pi W v, cos 2 pi W v] with fixed random frequencies W ~ N(0, scale^2).

    W is kept among the parameters, for it belongs to the trained network, but no gradient reaches
    it. Source: Tancik et al. 2020; Song et al. 2021, Appendix H.

    Attributes:
        frequencies: length of W; the embedding has twice as many features.
        scale: standard deviation of W.
    """

    frequencies: int = 256
    scale: float = 16.0

    @nn.compact
    def __call__(self, v: jax.Array) -> jax.Array:
        """Embeds v [batch] as [batch, 2 frequencies]."""
        weight = parameter(self, "W", Normal(self.scale), (self.frequencies,))
        # EDM's order of the factors: its v may be in the hundreds, where another order rounds the
        # angle, of 10^5 radians, by a hundredth.
        weight = jax.lax.stop_gradient(weight).astype(jnp.promote_types(v.dtype, weight.dtype))
        angle = v[:, None] * (2 * math.pi * weight)
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def positional_embedding(v: jax.Array, features: int, *, endpoint: bool = True) -> jax.Array:
    """[sin v f_k, cos v f_k] with f_k falling geometrically from 1 to 1/10000.

    Source: Vaswani et al. 2017, Section 3.5, as used by Ho et al. 2020.

    Args:
        v: [batch], a time label, of the order of 0 to 1000.
        features: even number of features.
        endpoint: whether the last frequency is 1/10000 itself, or one step short of it.

    Returns:
        [batch, features].
    """
    half = features // 2
    dtype = jnp.promote_types(v.dtype, jnp.float32)
    exponent = jnp.arange(half, dtype=dtype) / (half - 1 if endpoint else half)
    angle = v[:, None] * jnp.exp(-math.log(10000) * exponent)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def sigma_at(index: jax.Array, sigma_min: float, sigma_max: float, num_scales: int) -> jax.Array:
    """The entries of the descending geometric table of noise levels, index 0 being sigma_max.

    Args:
        index: integers in [0, num_scales), of any shape.
        sigma_min: the last entry.
        sigma_max: the first entry.
        num_scales: length of the table.
    """
    table = np.exp(np.linspace(math.log(sigma_max), math.log(sigma_min), num_scales))
    return jnp.asarray(table, jnp.float32)[index]


def one_hot(labels: jax.Array | None, batch: int, num_classes: int) -> jax.Array:
    """Labels [batch], [batch, num_classes] or None as [batch, num_classes]; zeros for no class."""
    if labels is None:
        return jnp.zeros((batch, num_classes))
    if np.ndim(labels) == 2:
        return jnp.asarray(labels, jnp.float32)
    return jax.nn.one_hot(labels, num_classes)


class ClassEmbedding(nn.Module):
    """A learned vector a class, and one for "no class".

    Classes are 0..num_classes-1; the label num_classes, and labels=None, mean no class. Labels may
    be one-hot too, a row of zeros for no class. In training each label is independently replaced by
    "no class" with probability `dropout`, which teaches the conditional and the unconditional
    network at once (Ho and Salimans 2022).

    The vector is a linear map of the one-hot label; that of "no class" is the map's bias, or zero
    for a map without one.

    Attributes:
        num_classes: number of classes.
        features: length of the vectors.
        dropout: probability of dropping a label in training.
        one_hot_scale: factor on the one-hot label.
        use_bias: whether "no class" has a vector of its own.
        kernel_init: initializer of the map.
    """

    num_classes: int
    features: int
    dropout: float = 0.0
    one_hot_scale: float = 1.0
    use_bias: bool = True
    kernel_init: Initializer = ScaledUniform()

    @nn.compact
    def __call__(self, labels: jax.Array | None, batch: int, *, train: bool) -> jax.Array:
        """Embeds labels [batch] or [batch, num_classes], or None, as [batch, features]."""
        rows = one_hot(labels, batch, self.num_classes)
        if train and self.dropout > 0:
            dropped = jax.random.bernoulli(self.make_rng("dropout"), self.dropout, (batch, 1))
            rows = jnp.where(dropped, 0.0, rows)
        return layers.Dense(self.features, self.use_bias, self.kernel_init)(
            self.one_hot_scale * rows
        )


class AugmentEmbedding(nn.Module):
    """A linear map of what an augmentation did to each image; nothing done is zero.

    Source: Karras et al. 2022, Appendix F.2 ("non-leaky augmentation").

    Attributes:
        length: of the augmentation labels.
        features: length of the result.
        kernel_init: initializer of the map.
    """

    length: int
    features: int
    kernel_init: Initializer = ScaledUniform()

    @nn.compact
    def __call__(self, augment_labels: jax.Array | None, batch: int) -> jax.Array:
        """Embeds augment_labels [batch, length], or None for zeros, as [batch, features]."""
        if augment_labels is None:
            augment_labels = jnp.zeros((batch, self.length))
        return layers.Dense(self.features, use_bias=False, kernel_init=self.kernel_init)(
            augment_labels
        )
