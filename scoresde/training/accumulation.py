"""Gradients of a batch that the memory would not hold: the mean over equal parts, one at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from scoresde.training.mesh import batch_sharding, check_divisible

PyTree = Any


def accumulated(gradient_fn: Callable, accumulate: int, mesh: Mesh) -> Callable:
    """`gradient_fn` averaged over equal parts of the batch, of which one at a time is computed.

    Args:
        gradient_fn: `jax.value_and_grad` of what `checked` returns, (params, key, batch, memory,
            *frozen) -> (loss, (metrics, memory)), where loss and metrics are means over the batch;
            each part gets a key of its own, and the memory that the one before it leaves.
        accumulate: number of parts.
        mesh: the batch is split over it; the function returned is for use within `jax.jit`.
    """

    def split(leaf: jax.Array) -> jax.Array:
        check_divisible(leaf.shape[0], mesh, accumulate)
        # Every part takes some rows of every device, so that no row changes its device.
        parts = leaf.reshape(leaf.shape[0] // accumulate, accumulate, *leaf.shape[1:])
        return jax.lax.with_sharding_constraint(
            jnp.moveaxis(parts, 1, 0), batch_sharding(mesh, axis=1)
        )

    def averaged(
        params: PyTree, key: jax.Array, batch: PyTree, memory: PyTree = None, *frozen: PyTree
    ) -> Any:
        def of_part(memory: PyTree, inputs: PyTree) -> tuple[PyTree, PyTree]:
            (loss, (metrics, memory)), gradient = gradient_fn(params, *inputs, memory, *frozen)
            return (loss, metrics, gradient), memory

        keys = jax.random.split(key, accumulate)
        parts = jax.tree.map(split, batch)
        first = jax.tree.map(lambda leaf: leaf[0], (keys, parts))
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
            jax.eval_shape(of_part, memory, first)[0],
        )

        def add(carry: tuple[PyTree, PyTree], inputs: PyTree) -> tuple[PyTree, None]:
            total, memory = carry
            values, memory = of_part(memory, inputs)
            return (jax.tree.map(jnp.add, total, values), memory), None

        (total, memory), _ = jax.lax.scan(add, (zeros, memory), (keys, parts))
        loss, metrics, gradient = jax.tree.map(lambda leaf: leaf / accumulate, total)
        return (loss, (metrics, memory)), gradient

    return averaged
