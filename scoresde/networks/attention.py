"""Self-attention over the pixels of a feature map."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import layers
from scoresde.networks.initialisers import Law, ScaledUniform


class AttnBlockpp(nn.Module):
    """x + NIN(attention(GroupNorm(x))), every pixel attending to all others.

    Logits and softmax are float32 whatever the computation type. Source: Ho et al. 2020,
    Appendix B; with heads as in Dhariwal and Nichol 2021.

    Attributes:
        heads: number of heads; they share the channels equally.
        skip_rescale: whether to divide the sum by sqrt 2.
        init_scale: scale of the last map's initialiser, see `ScaledUniform`.
        law: initialiser of the maps to queries, keys and values.
        groups: groups of the normalisation, None for the default of `GroupNorm`.
        epsilon: added to the variance.
        implementation: "xla", or "cudnn" for the fused kernels of NVIDIA GPUs, which need
            bfloat16 and have no forward-mode derivative.
        dtype: computation type.
    """

    heads: int = 1
    skip_rescale: bool = False
    init_scale: float = 0.0
    law: Law = ScaledUniform(0.1)
    groups: int | None = None
    epsilon: float = 1e-6
    implementation: str = "xla"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        h = layers.GroupNorm(self.groups, self.epsilon, self.dtype)(x)
        h = h.reshape(batch, height * width, channels)
        query, key, value = (
            layers.NIN(channels, self.law, self.dtype)(h).reshape(*h.shape[:2], self.heads, -1)
            for _ in range(3)
        )
        h = jax.nn.dot_product_attention(query, key, value, implementation=self.implementation)
        h = layers.NIN(channels, ScaledUniform(self.init_scale), self.dtype)(
            h.reshape(batch, -1, channels)
        )
        x = x + h.reshape(x.shape)
        return x / math.sqrt(2) if self.skip_rescale else x
