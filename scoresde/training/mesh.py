"""Data parallelism over a mesh: one code path for one device, eight, or several hosts.

The batch is split over the mesh's axis "data", and over "fsdp" where there is one, over which the
state may be split as well (`scoresde.training.sharding`). A jitted function of such arrays is
compiled by XLA into one program per device with the communication it needs, so the rest of the code
is written as if there were a single device holding the global batch.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from scoresde.registry import UsageError, shown

PyTree = Any

DATA_AXIS = "data"
FSDP_AXIS = "fsdp"


def make_mesh(devices: Sequence[jax.Device] | None = None, *, fsdp: int = 1) -> Mesh:
    """A mesh with the axis "data", and if `fsdp` is not 1 with the axis "fsdp" as well.

    Args:
        devices: the devices to use; by default all, those of other processes included.
        fsdp: how many devices share one copy of the state, each with a part of it; -1 for all. They
            are neighbors: of one host where they are no more than it has.

    Raises:
        UsageError: these are no devices, or none; or `fsdp` does not divide their number.
    """
    devices = jax.devices() if devices is None else devices
    is_list = isinstance(devices, Sequence | np.ndarray) and len(devices) > 0
    if not is_list or not all(isinstance(device, jax.Device) for device in devices):
        raise UsageError(f"A mesh is of devices, as jax.devices()[:2], not of {shown(devices)}.")
    devices, count = list(devices), len(devices)
    fsdp = count if fsdp == -1 else fsdp
    if fsdp < 1 or count % fsdp:
        fitting = ", ".join(str(n) for n in range(1, count + 1) if count % n == 0)
        raise UsageError(
            f"fsdp, the devices that share one copy of the state, must divide the {count} there "
            f"are: {fitting}, or -1 for all, not {fsdp}."
        )
    shape = {DATA_AXIS: count} if fsdp == 1 else {DATA_AXIS: count // fsdp, FSDP_AXIS: fsdp}
    kinds = (AxisType.Auto,) * len(shape)
    return jax.make_mesh(tuple(shape.values()), tuple(shape), kinds, devices=devices)


def check_mesh(mesh: Mesh) -> None:
    """Raises a UsageError unless the mesh has an axis "data" and leaves all splitting to XLA.

    The axes that `jax.make_mesh` makes by default are Explicit: under them every operation says how
    its result is split, and what is written for one device does not.
    """
    remedy = "make it with scoresde.training.make_mesh, or give jax.make_mesh axis_types of Auto."
    if DATA_AXIS not in mesh.axis_names:
        raise UsageError(
            f"The mesh has the axes {', '.join(map(repr, mesh.axis_names))} and none called "
            f"{DATA_AXIS!r}, over which batches are split; {remedy}"
        )
    for name, kind in zip(mesh.axis_names, mesh.axis_types):
        if kind != AxisType.Auto:
            raise UsageError(f"The mesh's axis {name!r} is {kind.name}, not Auto; {remedy}")
    if AxisType.Explicit in jax.sharding.get_abstract_mesh().axis_types:
        raise UsageError(f"The mesh of jax.set_mesh has an Explicit axis; {remedy}")


def _named_sharding(mesh: Mesh, *spec: Any) -> NamedSharding:
    check_mesh(mesh)
    return NamedSharding(mesh, PartitionSpec(*spec))


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device holds whole: keys, metrics, parameters without a rule."""
    return _named_sharding(mesh)


def batch_sharding(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The sharding of arrays whose axis number `axis` is the batch."""
    axes = _batch_axes(mesh)
    return _named_sharding(mesh, *[None] * axis, axes if len(axes) > 1 else DATA_AXIS)


def _batch_axes(mesh: Mesh) -> tuple[str, ...]:
    """The axes of the mesh that a batch is split over."""
    return tuple(name for name in (DATA_AXIS, FSDP_AXIS) if name in mesh.axis_names)


def check_divisible(batch_size: int, mesh: Mesh, accumulate: int = 1) -> None:
    """Raises a UsageError unless a batch splits evenly over the mesh's devices.

    Args:
        batch_size: the global batch size, over all processes.
        mesh: as made by `make_mesh`.
        accumulate: number of equal parts that each device takes one after the other.
    """
    count = math.prod(mesh.shape[name] for name in _batch_axes(mesh))
    unit = count * accumulate
    if batch_size > 0 and batch_size % unit == 0:
        return
    below = batch_size // unit * unit
    nearest = " and ".join(str(size) for size in (below, below + unit) if size > 0)
    devices = "1 device" if count == 1 else f"{count} devices"
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
    check_batch(mesh, batch, axis)
    sharding = batch_sharding(mesh, axis)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)  # all arrays at once, in half the time
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
    )


def check_batch(mesh: Mesh, batch: PyTree, axis: int = 0) -> None:
    """Raises a UsageError unless `shard_batch` can split a batch.

    Args: as of `shard_batch`.
    """
    for leaf in jax.tree.leaves(batch):
        shape = np.shape(leaf)
        if len(shape) <= axis:
            raise UsageError(
                f"The data gave an array of shape {shape}, which has no batch axis {axis}."
            )
        check_divisible(shape[axis] * jax.process_count(), mesh)
