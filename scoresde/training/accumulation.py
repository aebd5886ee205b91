"""Gradients of a batch that the memory would not hold: the mean over equal parts, one at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from scoresde.training.loss_fn import Metrics
from scoresde.training.mesh import batch_sharding, check_divisible

PyTree = Any


def accumulated(
    gradient_fn: Callable, accumulate: int, mesh: Mesh
) -> Callable[..., tuple[tuple[jax.Array, Metrics], PyTree]]:
    """`gradient_fn` averaged over equal parts of the batch, of which one at a time is in memory.

    Args:
        gradient_fn: `jax.value_and_grad` of a function (params, key, batch, *frozen) -> (loss,
            metrics) that gives means over the batch; each part gets a key of its own.
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

    def averaged(params: PyTree, key: jax.Array, batch: PyTree, *frozen: PyTree) -> Any:
        keys = jax.random.split(key, accumulate)
        parts = jax.tree.map(split, batch)
        first = jax.tree.map(lambda leaf: leaf[0], (keys, parts))
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
            jax.eval_shape(lambda inputs: gradient_fn(params, *inputs, *frozen), first),
        )

        def add(total: PyTree, inputs: tuple[jax.Array, PyTree]) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, total, gradient_fn(params, *inputs, *frozen)), None

        total, _ = jax.lax.scan(add, zeros, (keys, parts))
        return jax.tree.map(lambda leaf: leaf / accumulate, total)

    return averaged
