"""The global norm of a tree of arrays, and the clipping of a gradient by it."""

import contextlib
import contextvars
import operator
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

PyTree = Any


def global_norm(tree: PyTree) -> jax.Array:
    """The root of the sum of all squares, which are summed in float32 at least.

    It is not finite where any number is not.

    Args:
        tree: of real arrays of any shapes and types; without any, its norm is 0.
    """
    leaves = jax.tree.leaves(tree)
    arrays, norm = _known.get()
    if leaves and len(arrays) == len(leaves) and all(map(operator.is_, arrays, leaves)):
        return norm
    leaves = [leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)) for leaf in leaves]
    if not leaves:
        return jnp.zeros(())
    return jnp.sqrt(lax.platform_dependent(leaves, cuda=_by_rows, default=_by_arrays))


_known: contextvars.ContextVar = contextvars.ContextVar("known", default=((), None))


@contextlib.contextmanager
def known(tree: PyTree, norm: jax.Array) -> Iterator[None]:
    """Within it the norm of this tree, of these very arrays, is not taken again.

    For where XLA cannot see that it would be the same. What is made of them has one of its own.
    """
    token = _known.set((jax.tree.leaves(tree), norm))
    try:
        yield
    finally:
        _known.reset(token)


def _by_arrays(leaves: list[jax.Array]) -> jax.Array:
    return sum((leaf * leaf).sum() for leaf in leaves)


def _by_rows(leaves: list[jax.Array]) -> jax.Array:
    """Rows first, and the sums of all arrays' rows at once.

    For an array's whole sum XLA makes three to five kernels, most of them of microseconds. For its
    rows it makes one, or none where what makes the array can add them up. Without the barrier it
    would find the whole sums again.
    """
    rows = [(leaf * leaf).sum(axis=range(leaf.ndim)[-1:]).ravel() for leaf in leaves]
    return lax.optimization_barrier(jnp.concatenate(rows)).sum()


def clip_by_global_norm(largest: float) -> optax.GradientTransformation:
    """optax's of that name, by the norm that a training step takes as well, so that it takes one.

    Args:
        largest: what a gradient of a larger norm is scaled down to.
    """

    def update(
        gradient: PyTree, state: optax.EmptyState, params: PyTree = None
    ) -> tuple[PyTree, optax.EmptyState]:
        del params
        norm = global_norm(gradient)
        # A quotient of each number, XLA would write down. Of the two factors neither underflows.
        small = norm < largest
        inverse, length = jnp.where(small, 1, 1 / norm), jnp.where(small, 1.0, largest)

        def clipped(leaf: jax.Array) -> jax.Array:
            wide = leaf.astype(jnp.promote_types(leaf.dtype, inverse.dtype))
            return (wide * inverse * length).astype(leaf.dtype)

        return jax.tree.map(clipped, gradient), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
