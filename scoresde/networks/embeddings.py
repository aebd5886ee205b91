"""Embeddings of what a network is conditioned on: the noise level and the class."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import layers
from scoresde.networks.initialisers import Normal, parameter


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
        angle = 2 * math.pi * v[:, None] * jax.lax.stop_gradient(weight)
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
    exponent = jnp.arange(half, dtype=jnp.float32) / (half - 1 if endpoint else half)
    angle = v[:, None] * jnp.exp(-math.log(10000) * exponent)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class ClassEmbedding(nn.Module):
    """A learned vector a class, and one for "no class".

    Classes are 0..num_classes-1; the label num_classes, and labels=None, mean no class. In training
    each label is independently replaced by "no class" with probability `dropout`, which teaches
    the conditional and the unconditional network at once (Ho and Salimans 2022).

    The vector is a linear map of the one-hot label scaled to unit variance; the vector of "no
    class" is its bias, and zero for a map without one.

    Attributes:
        num_classes: number of classes.
        features: length of the vectors.
        dropout: probability of dropping a label in training.
        use_bias: whether "no class" has a vector of its own.
    """

    num_classes: int
    features: int
    dropout: float = 0.0
    use_bias: bool = True

    @nn.compact
    def __call__(self, labels: jax.Array | None, batch: int, *, train: bool) -> jax.Array:
        """Embeds labels [batch], or None, as [batch, features]."""
        no_class = jnp.full((batch,), self.num_classes)
        labels = no_class if labels is None else labels
        if train and self.dropout > 0:
            dropped = jax.random.bernoulli(self.make_rng("dropout"), self.dropout, (batch,))
            labels = jnp.where(dropped, no_class, labels)
        one_hot = jax.nn.one_hot(labels, self.num_classes) * math.sqrt(self.num_classes)
        return layers.Dense(self.features, self.use_bias)(one_hot)
