"""Where the training state lies on a mesh, by rules on the paths of its parameters.

A rule is a regular expression and a `PartitionSpec`. A parameter follows the first rule whose
expression is found in its path ("in/kernel"), and its averages and what the optimizer keeps for it
follow too; whatever has no rule lies whole on every device. With

    rules = [("kernel$", PartitionSpec(None, "data"))]

each of n devices holds the n-th part of the columns of every kernel (Rajbhandari et al., 2020). XLA
adds the communication: a rule changes where things lie, and not what is computed.
"""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scoresde.registry import UsageError
from scoresde.training.mesh import check_mesh, replicated
from scoresde.training.state import TrainState
from scoresde.training.tree import by_name, path_name

PyTree = Any
Rules = Sequence[tuple[str, PartitionSpec]]


def param_shardings(mesh: Mesh, params: PyTree, rules: Rules = ()) -> PyTree:
    """The sharding of every parameter, as a tree like `params`.

    Args:
        mesh: with the axes that the rules name.
        params: arrays or `jax.ShapeDtypeStruct`s.
        rules: see the module's docstring.

    Raises:
        UsageError: a rule that is found in no path, or that does not fit what it is found in.
    """
    check_mesh(mesh)
    names = by_name(params)
    for expression, _ in rules:
        try:
            found = any(re.search(expression, name) for name in names)
        except re.error as error:
            raise UsageError(
                f"The rule {expression!r} is no regular expression: {error}."
            ) from None
        if not found:
            raise UsageError(
                f"The rule {expression!r} is found in no parameter's path; one of the "
                f"{len(names)} is {next(iter(names), '')!r}."
            )

    def of_parameter(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        name = path_name(path)
        for expression, spec in rules:
            if re.search(expression, name):
                return _fitting(mesh, expression, spec, name, leaf.shape)
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(of_parameter, params)


def state_shardings(mesh: Mesh, state: TrainState, rules: Rules = ()) -> TrainState:
    """The sharding of every array of a state, as a state. See `param_shardings`.

    The optimizer's arrays are told by their path and shape: Adam's first moment of "in/kernel" has
    a path that ends in "in/kernel" and is of the same shape.
    """
    whole, params = replicated(mesh), param_shardings(mesh, state.params, rules)
    mirrored = {
        path: (leaf.shape, sharding)
        for (path, leaf), sharding in zip(
            jax.tree_util.tree_leaves_with_path(state.params), jax.tree.leaves(params), strict=True
        )
    }

    def of_optimizer(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        for start in range(len(path) + 1):  # the longest ending first
            shape, sharding = mirrored.get(path[start:], (None, None))
            if shape == leaf.shape:
                return sharding
        return whole

    return TrainState(
        step=whole,
        params=params,
        averages=dict.fromkeys(state.averages, params),
        opt_state=jax.tree_util.tree_map_with_path(of_optimizer, state.opt_state),
        key=whole,
        memory=jax.tree.map(lambda _: whole, state.memory),
        skipped=whole,
    )


def place(mesh: Mesh, state: TrainState, rules: Rules = ()) -> TrainState:
    """Puts a state, equal on every process, on the devices of the mesh where the rules say.

    Arrays that are there already are not copied.

    Raises:
        UsageError: see `param_shardings`.
    """
    return jax.tree.map(_put, state, state_shardings(mesh, state, rules))


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts a tree of arrays, equal on every process, whole on every device of the mesh.

    Arrays that are there already are not copied; plain numbers, as a scale, stay such.
    """
    sharding = replicated(mesh)
    return jax.tree.map(lambda leaf: _put(leaf, sharding) if hasattr(leaf, "dtype") else leaf, tree)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        # JAX does not put typed keys on the devices of other processes.
        data = jax.device_put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return jax.device_put(leaf, sharding)


def _fitting(
    mesh: Mesh, expression: str, spec: PartitionSpec, name: str, shape: tuple[int, ...]
) -> NamedSharding:
    with contextlib.suppress(Exception):  # JAX raises errors of several types
        sharding = NamedSharding(mesh, PartitionSpec(*spec))
        if len(spec) <= len(shape):
            sharding.shard_shape(shape)  # refuses parts of unequal sizes
            return sharding
    raise UsageError(
        f"The rule {expression!r} cannot place {name} of shape {list(shape)} on the mesh "
        f"{dict(mesh.shape)} by {PartitionSpec(*spec)}: give it at most one entry an axis of the "
        "array, each None or axes of the mesh that split it evenly, and none twice."
    )
