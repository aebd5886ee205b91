"""The arrays of a tree by the path to them, as rules and error messages name them."""

from typing import Any

import jax
import jax.numpy as jnp

from scoresde.registry import UsageError

PyTree = Any


def path_name(path: tuple[Any, ...]) -> str:
    """`in/kernel`, for the path to a leaf as JAX gives it; `.` for a tree that is one leaf."""
    return jax.tree_util.keystr(path, simple=True, separator="/") or "."


def by_name(tree: PyTree) -> dict[str, Any]:
    """The leaves by the path to them, in the tree's order."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def differences(wanted: PyTree, found: PyTree) -> str:
    """In words, how the arrays of two trees differ in name, shape or dtype; "" if they agree."""

    def describe(leaf: Any) -> str:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):  # stored as its data
            leaf = jax.eval_shape(jax.random.key_data, leaf)
        return f"{leaf.dtype}{list(leaf.shape)}"

    wanted, found = by_name(wanted), by_name(found)
    words = []
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            words.append(f"it lacks {name}")
        elif name not in wanted:
            words.append(f"it also holds {name}")
        elif describe(wanted[name]) != describe(found[name]):
            words.append(f"{name} is {describe(found[name])}, not {describe(wanted[name])}")
    more = f" (and {len(words) - 3} more)" if len(words) > 3 else ""
    return "; ".join(words[:3]) + more


def averageable(params: PyTree) -> PyTree:
    """The parameters themselves.

    Raises:
        UsageError: one has a type of 16 bits or less, in which an average would not move: a
            ten-thousandth of a number is below its rounding.
    """
    for name, leaf in by_name(params).items():
        dtype = jnp.result_type(leaf)  # also of Python's numbers
        if jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32:
            raise UsageError(
                f"The parameter {name} is {dtype}, in which an average would lose its small "
                "steps. Keep parameters in float32; a network's dtype says what it computes in."
            )
    return params
