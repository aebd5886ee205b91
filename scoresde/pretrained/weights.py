"""Fitting foreign weights into a network's parameter tree."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde.registry import UsageError

Path = tuple[str, ...]
"""A parameter's place in the tree: ("Conv_0", "kernel")."""

SHOWN = 8
"""How many faults of a kind an error names."""


class Checkpoint(NamedTuple):
    """What a foreign file says about a network.

    Attributes:
        weights: arrays by their names there.
        step: the number of training steps that made them, 0 where the file does not say.
        averaged: whether they are a moving average; None where the file does not say.
    """

    weights: Mapping[str, Any]
    step: int
    averaged: bool | None


def array(value: Any) -> np.ndarray:
    """A weight of a foreign file; tensors of PyTorch may be on a device, or in bfloat16."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().float()
    return np.asarray(value)


def flatten(tree: Mapping[str, Any], prefix: Path = ()) -> dict[Path, Any]:
    """The leaves of nested dictionaries by path."""
    leaves = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flatten(value, (*prefix, name))
        else:
            leaves[(*prefix, name)] = value
    return leaves


def unflatten(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """The inverse of `flatten`."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree


def fit(weights: Mapping[Path, Any], shapes: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter tree of these shapes with these weights, in float32.

    Args:
        weights: arrays by their path in a network's tree.
        shapes: `Network.parameter_shapes` of the network that they are meant for.

    Raises:
        UsageError: weights are missing, superfluous or of another shape: how many of each, and
            the first of them.
    """
    expected = flatten(shapes)
    kinds = {
        "missing": [f"missing {'/'.join(path)}" for path in expected if path not in weights],
        "unexpected": [f"unexpected {'/'.join(path)}" for path in weights if path not in expected],
        "of another shape": [
            f"{'/'.join(path)} has shape {np.shape(weights[path])}, not {shape.shape}"
            for path, shape in expected.items()
            if path in weights and np.shape(weights[path]) != shape.shape
        ],
    }
    if any(kinds.values()):
        faults = [fault for kind in kinds.values() for fault in kind[:SHOWN]]
        faults += [
            f"and {len(kind) - SHOWN} more {name}"
            for name, kind in kinds.items()
            if len(kind) > SHOWN
        ]
        raise UsageError(
            "The weights do not fit the configuration they were given with: "
            f"{'; '.join(faults)}. Check the configuration."
        )
    try:
        arrays = {path: np.asarray(weights[path], np.float32) for path in expected}
    except (TypeError, ValueError) as error:
        raise UsageError(f"A weight is no array of numbers: {error}.") from error
    return jax.tree.map(jnp.asarray, unflatten(arrays))


def entry(config: Mapping[str, Any], *path: str) -> Any:
    """An entry of a foreign configuration, given as nested mappings.

    Raises:
        UsageError: there is none.
    """
    node = config
    for name in path:
        if name not in node:
            raise UsageError(f"The reference configuration has no {'.'.join(path)}.")
        node = node[name]
    return node
