"""Data parallelism over a mesh: one code path for one device, eight, or several hosts.

The batch is split over the mesh's only axis, "data"; the state is replicated. A jitted function of
such arrays is compiled by XLA into one program per device with the reductions it needs, so the rest
of the code is written as if there were a single device holding the global batch.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from scoresde.registry import UsageError

PyTree = Any

DATA_AXIS = "data"


def make_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the single axis "data".

    Args:
        devices: the devices to use; by default all, those of other processes included.
    """
    devices = jax.devices() if devices is None else list(devices)
    return jax.make_mesh((len(devices),), (DATA_AXIS,), (AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device holds whole: parameters, keys, metrics."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The sharding of arrays whose axis number `axis` is the batch."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA_AXIS))


def check_divisible(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises a UsageError unless a batch splits evenly over the mesh.

    Args:
        batch_size: the global batch size, over all processes.
        mesh: as made by `make_mesh`.
        accumulate: number of equal parts that each device takes one after the other.
    """
    unit = mesh.size * accumulate
    if batch_size > 0 and batch_size % unit == 0:
        return
    below = batch_size // unit * unit
    nearest = " and ".join(str(size) for size in (below, below + unit) if size > 0)
    devices = "1 device" if mesh.size == 1 else f"{mesh.size} devices"
    parts = f" in {accumulate} accumulated parts" if accumulate > 1 else ""
    raise UsageError(
        f"A batch of {batch_size} cannot be split evenly over {devices}{parts}; "
        f"the nearest sizes that can: {nearest}."
    )


def shard_batch(mesh: Mesh, batch: PyTree, axis: int = 0) -> PyTree:
    """Puts each process's part of a batch on its devices, as global arrays.

    Args:
        mesh: as made by `make_mesh`.
        batch: arrays whose axis number `axis` is this process's part of the batch, of the same
            size on every process.
        axis: where the batch axis is; 1 for several batches stacked for one dispatch.

    Returns:
        The same tree of arrays with the global batch, `jax.process_count()` times as large.

    Raises:
        UsageError: an array has no such axis, or the global batch does not split evenly.
    """
    sharding = batch_sharding(mesh, axis)

    def shard(leaf: np.ndarray) -> jax.Array:
        leaf = np.asarray(leaf)
        if leaf.ndim <= axis:
            raise UsageError(
                f"The data gave an array of shape {leaf.shape}, which has no batch axis {axis}."
            )
        check_divisible(leaf.shape[axis] * jax.process_count(), mesh)
        return jax.make_array_from_process_local_data(sharding, leaf)

    return jax.tree.map(shard, batch)


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts a tree of arrays, equal on every process, whole on every device of the mesh.

    Arrays that are there already are not copied.
    """
    sharding = replicated(mesh)

    def put(leaf: Any) -> jax.Array:
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            # JAX does not put typed keys on the devices of other processes.
            data = jax.device_put(jax.random.key_data(leaf), sharding)
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        return jax.device_put(leaf, sharding)

    return jax.tree.map(put, tree)
