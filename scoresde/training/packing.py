"""Small parameters in one array, in a state whose step treats all numbers alike.

Most of a network's arrays are biases, scales and small kernels: of the 564 of CIFAR-10's DDPM++,
385 hold half a percent of its numbers. Each has two moments and an average beside it and is updated
by a program of its own, so that half of a training step's instructions are theirs, and most of what
a call of it hands over. One after another in one array, they are updated at once.

That is the same only where each number is updated by its own gradient, whatever array it is in, as
Adam and moving averages do it, also after a clipping by the global norm. Checkpoints, and whoever
else is handed a state, get the parameters as they are: `unpacked`.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde.training.state import TrainState

PyTree = Any

# XLA's CPU backend vectorizes a loop whose length it knows, and takes five times longer for the
# parts into which it cuts a long axis.
_WIDTH = 1024


class Layout(NamedTuple):
    """Which arrays of a tree are packed, and how they are found again."""

    tree: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]
    small: tuple[bool, ...]

    def pack(self, tree: PyTree) -> "Packed":
        """A tree like the parameters, its small arrays packed."""
        leaves = self.tree.flatten_up_to(tree)
        large = [leaf for leaf, small in zip(leaves, self.small) if not small]
        rows, rest = _joined([leaf for leaf, small in zip(leaves, self.small) if small])
        return Packed(rows=rows, rest=rest, large=large, layout=self)

    def fits(self, tree: PyTree) -> bool:
        """Whether a tree is like the parameters."""
        leaves, structure = jax.tree.flatten(tree)
        return structure == self.tree and tuple(jnp.shape(leaf) for leaf in leaves) == self.shapes


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Packed:
    """Arrays of a tree, the small ones one after another.

    Attributes:
        rows: the numbers of these but for the last, [n, 1024].
        rest: the last, [fewer than 1024].
        large: the others, in the tree's order.
        layout: how they make the tree.
    """

    rows: jax.Array
    rest: jax.Array
    large: list[jax.Array]
    layout: Layout = dataclasses.field(metadata={"static": True})

    def unpack(self) -> PyTree:
        """The tree."""
        flat, start = jnp.concatenate([self.rows.ravel(), self.rest]), 0
        leaves, large = [], iter(self.large)
        for shape, small in zip(self.layout.shapes, self.layout.small):
            leaves.append(_part(flat, np.int32(start), shape) if small else next(large))
            start += math.prod(shape) if small else 0
        return jax.tree.unflatten(self.layout.tree, leaves)


@jax.jit
def _joined(arrays: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    flat = jnp.concatenate([array.ravel() for array in arrays])
    whole = flat.size - flat.size % _WIDTH
    return flat[:whole].reshape(-1, _WIDTH), flat[whole:]


# One program for all arrays of a shape: one of hundreds of results takes seconds to compile.
@functools.partial(jax.jit, static_argnums=2)
def _part(flat: jax.Array, start: int, shape: tuple[int, ...]) -> jax.Array:
    return jax.lax.dynamic_slice(flat, (start,), (math.prod(shape),)).reshape(shape)


def largest_packed(platform: str) -> int:
    """The most elements of an array that is packed for "cpu", "gpu" or "tpu".

    More compile sooner, but a TPU's compiler needs more memory for them, and GPUs have seen no
    other (docs/cpu_optimizations.md).
    """
    return 2**17 if platform == "cpu" else 2**15


def packed(state: TrainState, largest: int | None = None) -> TrainState:
    """A state whose parameters, averages and moments are packed.

    `make_train_step` takes it as it takes any other, and `train` hands it out unpacked. Only for
    optimizers and averages that treat each number by itself, which nothing here can check, whose
    states keep their types, and for devices that each hold the whole state. A decay that is masked
    by an array's dimensions or name, clipping per array and the steps of LAMB or LARS would
    silently be others.

    Args:
        state: as made by `create_state`.
        largest: the most elements of an array that is packed; only float32 is. None stands for
            `largest_packed` of this machine.
    """
    if is_packed(state.params):
        return state
    if largest is None:
        largest = largest_packed(jax.default_backend())
    leaves, tree = jax.tree.flatten(state.params)
    small = tuple(leaf.dtype == jnp.float32 and leaf.size <= largest for leaf in leaves)
    if sum(small) < 2:
        return state
    return _packed_by(Layout(tree, tuple(leaf.shape for leaf in leaves), small), state)


def state_packed_as(like: TrainState, state: TrainState) -> TrainState:
    """A state packed as another is."""
    return _packed_by(like.params.layout, state) if is_packed(like.params) else state


def packed_as(like: PyTree, tree: PyTree) -> PyTree:
    """A tree like the parameters, packed as a state's are, `like`."""
    return like.layout.pack(tree) if is_packed(like) else tree


def unpacked(tree: PyTree) -> PyTree:
    """A state, or any other tree, with nothing packed in it."""
    return jax.tree.map(
        lambda node: node.unpack() if is_packed(node) else node, tree, is_leaf=is_packed
    )


def _packed_by(layout: Layout, state: TrainState) -> TrainState:
    def pack(tree: PyTree) -> PyTree:  # all that is like the parameters in it
        return jax.tree.map(
            lambda node: layout.pack(node) if layout.fits(node) else node, tree, is_leaf=layout.fits
        )

    # Not what the loss remembers, which is the loss's own.
    params, averages, opt_state = map(pack, (state.params, state.averages, state.opt_state))
    return dataclasses.replace(state, params=params, averages=averages, opt_state=opt_state)


def is_packed(node: Any) -> bool:
    """Whether it is a tree whose small arrays are packed."""
    return isinstance(node, Packed)
