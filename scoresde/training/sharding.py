"""Where the training state lies on a mesh, by rules on the paths of its parameters.

A rule is a regular expression and a `PartitionSpec`. A parameter follows the first rule whose
expression is found in its path ("in/kernel"), and its averages and what the optimizer keeps for it
follow too; whatever has no rule lies whole on every device. With

    rules = [("kernel$", PartitionSpec(None, "data"))]

each of n devices holds the n-th part of the columns of every kernel (Rajbhandari et al., 2020). XLA
adds the communication: a rule changes where things lie, and not what is computed.

In the place of the `PartitionSpec` there may be a function (mesh, shape) -> PartitionSpec.
`fsdp_rules` is one for all parameters, by their size, and what `config.training.fsdp` uses.
"""

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from scoresde.registry import UsageError
from scoresde.training.mesh import FSDP_AXIS, batch_sharding, check_mesh, replicated
from scoresde.training.state import TrainState
from scoresde.training.tree import by_name, path_name

PyTree = Any
Place = PartitionSpec | Callable[[Mesh, tuple[int, ...]], PartitionSpec]
Rules = Sequence[tuple[str, Place]]


def fsdp_rules(mesh: Mesh, smallest: int = 2**16) -> Rules:
    """Large parameters are split over the mesh's axis "fsdp"; without that axis, no rules.

    Each is split along its largest axis that the devices divide, the last of several: the outputs
    of a kernel. One of fewer elements, or with no such axis, lies whole on every device, where it
    costs less than its communication.

    Args:
        mesh: as made by `make_mesh`.
        smallest: the number of elements from which on a parameter is split.
    """
    if FSDP_AXIS not in mesh.axis_names:
        return ()

    def place(mesh: Mesh, shape: tuple[int, ...]) -> PartitionSpec:
        fitting = [
            (size, axis) for axis, size in enumerate(shape) if size % mesh.shape[FSDP_AXIS] == 0
        ]
        if math.prod(shape) < smallest or not fitting:
            return PartitionSpec()
        return PartitionSpec(*[None] * max(fitting)[1], FSDP_AXIS)

    return (("", place),)


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
                spec = spec(mesh, leaf.shape) if callable(spec) else spec
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


def created_on(mesh: Mesh, create: Callable[[], TrainState], rules: Rules = ()) -> TrainState:
    """`create()` where `place` puts it; with rules it is made on the host, whole on no device."""
    with contextlib.ExitStack() as stack:
        if rules:
            with contextlib.suppress(RuntimeError):  # JAX_PLATFORMS may leave the host out
                host = jax.local_devices(backend="cpu")[0]
                stack.enter_context(jax.default_device(host))
        state = create()
    return place(mesh, state, rules)


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts a tree of arrays, equal on every process, whole on every device of the mesh.

    Arrays that are there already are not copied; plain numbers, as a scale, stay such.
    """
    sharding = replicated(mesh)
    return jax.tree.map(lambda leaf: _put(leaf, sharding) if hasattr(leaf, "dtype") else leaf, tree)


def split_batch(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts arrays [batch, ...], equal on every process and whole there, split on the devices."""
    return jax.tree.map(lambda leaf: _put(leaf, batch_sharding(mesh)), tree)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        # JAX does not put typed keys on the devices of other processes.
        data = _put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    if jax.process_count() == 1 or not getattr(leaf, "is_fully_addressable", True):
        return jax.device_put(leaf, sharding)
    # Each process has it, and takes what its devices need: JAX would compare all of it first.
    host = np.asarray(leaf)
    host = host.astype(jax.dtypes.canonicalize_dtype(host.dtype), copy=False)
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])


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
