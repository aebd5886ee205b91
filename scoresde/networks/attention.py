"""Self-attention over the pixels of a feature map."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from scoresde.networks import layers
from scoresde.networks.group_norm import GroupNorm
from scoresde.networks.initializers import Initializer, ScaledUniform
from scoresde.registry import UsageError
from scoresde.speed.barriers import in_memory


def _attend(query: jax.Array, key: jax.Array, value: jax.Array, implementation: str) -> jax.Array:
    if implementation == "cudnn" and jax.default_backend() != "gpu":
        raise UsageError(
            "attention_implementation='cudnn' runs on NVIDIA GPUs alone, and here is none; "
            "set it to 'xla'."
        )
    if implementation == "cudnn":
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    return _as_products(query, key, value)


def _as_products(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """By XLA's kernels. A head is a sample like any other: CPUs are quicker with one batch axis."""
    batch, pixels, heads, channels = query.shape

    def fold(x: jax.Array) -> jax.Array:
        return jnp.swapaxes(x, 1, 2).reshape(batch * heads, x.shape[1], x.shape[3])

    wide = jnp.promote_types(query.dtype, jnp.float32)
    products = jnp.einsum("bqc,bkc->bqk", fold(query), fold(key), preferred_element_type=wide)
    weights = _softmax(products / math.sqrt(channels)).astype(value.dtype)
    attended = jnp.einsum("bqk,bkc->bqc", weights, fold(value))
    return jnp.swapaxes(attended.reshape(batch, heads, pixels, -1), 1, 2)


@jax.custom_jvp
def _softmax(logits: jax.Array) -> jax.Array:
    """Over the last axis. Of all that it makes, its derivative needs the weights alone."""
    return jax.nn.softmax(logits)


@_softmax.defjvp
def _(primals, tangents):
    (logits,), (tangent,) = primals, tangents
    weights = in_memory(jax.nn.softmax(logits))
    return weights, weights * (tangent - (weights * tangent).sum(-1, keepdims=True))


@jax.custom_jvp
def _cudnn_or_xla(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """cuDNN's kernel, or XLA's where a derivative is taken: cuDNN's has none in forward mode."""
    return _attend(query, key, value, "cudnn")


@_cudnn_or_xla.defjvp
def _differentiated(primals, tangents):
    return jax.jvp(functools.partial(_attend, implementation="xla"), primals, tangents)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    implementation: str = "xla",
    train: bool = False,
) -> jax.Array:
    """softmax(query key^T / sqrt(channels)) value, for each head.

    Args:
        query: [batch, pixels, heads, channels], as are key and value.
        key: see query.
        value: see query.
        implementation: "xla" or "cudnn". With "cudnn", a derivative that is not of training, which
            may be in forward mode (as a likelihood's), is taken through XLA's kernels.
        train: whether the derivative will be in reverse mode, for which cuDNN has a kernel.

    Raises:
        UsageError: "cudnn" where there is no GPU.
    """
    if implementation == "cudnn" and not train:
        return _cudnn_or_xla(query, key, value)
    return _attend(query, key, value, implementation)


class AttnBlockpp(nn.Module):
    """x + NIN(attention(GroupNorm(x))), every pixel attending to all others.

    Logits and softmax are at least float32 whatever the computation type. Source: Ho et al. 2020,
    Appendix B; with heads as in Dhariwal and Nichol 2021.

    Attributes:
        heads: number of heads; they share the channels equally.
        skip_rescale: whether to divide the sum by sqrt 2.
        init_scale: scale of the last map's initializer, see `ScaledUniform`.
        kernel_init: initializer of the maps to queries, keys and values.
        groups: groups of the normalization, None for the default of `GroupNorm`.
        epsilon: added to the variance.
        implementation: "xla", or "cudnn" for the fused kernels of NVIDIA GPUs, which need
            bfloat16; see `attend`.
        train: whether the network is being trained.
        dtype: computation type.
    """

    heads: int = 1
    skip_rescale: bool = False
    init_scale: float = 0.0
    kernel_init: Initializer = ScaledUniform(0.1)
    groups: int | None = None
    epsilon: float = 1e-6
    implementation: str = "xla"
    train: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        batch, height, width, channels = x.shape
        h = GroupNorm(self.groups, self.epsilon, self.dtype)(x)
        h = h.reshape(batch, height * width, channels)
        query, key, value = (
            layers.NIN(channels, self.kernel_init, self.dtype)(h).reshape(
                *h.shape[:2], self.heads, -1
            )
            for _ in range(3)
        )
        # Parameters may be made where there is no GPU.
        implementation = "xla" if self.is_initializing() else self.implementation
        h = attend(query, key, value, implementation, self.train)
        h = layers.NIN(channels, ScaledUniform(self.init_scale), self.dtype)(
            h.reshape(batch, -1, channels)
        )
        x = x + h.reshape(x.shape)
        return x / math.sqrt(2) if self.skip_rescale else x
