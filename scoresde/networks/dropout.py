"""Dropout, with four decisions of one call of the random generator."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.random import threefry2x32_p

from scoresde.registry import UsageError

LEVELS = 2**16
"""In so many steps a probability is told."""


class Dropout(nn.Module):
    """Zeros in the place of some numbers, and the others made larger (Srivastava et al. 2014).

    Attributes:
        rate: probability of a zero, rounded to a multiple of 2^-16.
        deterministic: whether nothing is done.

    Raises:
        UsageError: the rate is no probability.
    """

    rate: float
    deterministic: bool

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        if not 0 <= self.rate <= 1:
            raise UsageError(f"Dropout's rate is a probability, not {self.rate}.")
        if self.deterministic or not self.rate:
            return x
        below = round((1 - self.rate) * LEVELS)
        if not below:
            return jnp.zeros_like(x)
        kept = bernoulli(self.make_rng("dropout"), below, x.shape)
        x = x * (LEVELS / below)
        # XLA fuses it with what is around it; but arrays must lie alike on a mesh for it.
        if jax.typeof(kept).sharding == jax.typeof(x).sharding:
            return lax.select(kept, x, jnp.zeros_like(x))
        return jnp.where(kept, x, jnp.zeros((), x.dtype))


@functools.partial(jax.jit, static_argnames=("below", "shape"))  # traced once a shape
def bernoulli(key: jax.Array, below: int, shape: tuple[int, ...]) -> jax.Array:
    """Booleans, each true with the probability below / 2^16; the same ones on all platforms.

    Most of dropout's work is threefry's, a call of which gives 64 random bits. JAX makes one
    decision of them, here they are four, where the last axis allows it.
    """
    size = math.prod(shape)
    if jax.random.key_impl(key) != "threefry2x32" or not shape or shape[-1] % 4 or size >= 2**32:
        return jax.random.bernoulli(key, below / LEVELS, shape)
    first, second = jax.random.key_data(key)

    def decide(bits: jax.Array) -> jax.Array:
        return (bits & (LEVELS - 1)) < below

    def packed(first: jax.Array, second: jax.Array) -> jax.Array:
        count = _positions((*shape[:-1], shape[-1] // 4))
        low, high = threefry2x32_p.bind(first, second, jnp.zeros_like(count), count)
        quarters = (low, low >> 16, high, high >> 16)
        four = sum(decide(bits).astype(jnp.uint32) << 8 * k for k, bits in enumerate(quarters))
        return lax.bitcast_convert_type(four, jnp.uint8).reshape(shape) != 0

    def apart(first: jax.Array, second: jax.Array) -> jax.Array:
        # A TPU draws them where they are used, each anew, but would keep in memory what is shared.
        count = _positions(shape)
        low, high = threefry2x32_p.bind(first, second, jnp.zeros_like(count), count // 4)
        return decide(jnp.where(count & 2, high, low) >> 16 * (count & 1))

    return lax.platform_dependent(first, second, tpu=apart, default=packed)


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """The number of each element in row-major order."""
    total, stride = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        total += lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
        stride *= shape[axis]
    return total
