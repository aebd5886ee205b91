"""Arrays that are split over the devices of a mesh."""

from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding

from scoresde.registry import UsageError

_REMEDY = "Give jax.make_mesh axis_types of Auto."


def automatic(tree: Any) -> Any:
    """The arrays of a pytree, with the splitting of what is computed of them left to XLA.

    The axes that `jax.make_mesh` makes by default are Explicit: under them every operation says how
    its result is split, and what is written for one device does not. An array on such a mesh stays
    where it is, on a mesh of the same devices and names.

    Raises:
        UsageError: the mesh is that of `jax.set_mesh`, or of a function that JAX is tracing.
    """
    if AxisType.Explicit in jax.sharding.get_abstract_mesh().axis_types:
        raise UsageError(f"The mesh of jax.set_mesh has an Explicit axis. {_REMEDY}")
    return jax.tree.map(_automatic, tree)


def is_known(array: Any) -> bool:
    """Whether this process can look at values: neither traced, nor on another's devices as well."""
    return not isinstance(array, jax.core.Tracer) and getattr(array, "is_fully_addressable", True)


def _automatic(leaf):
    if not isinstance(leaf, jax.Array):
        return leaf
    sharding = jax.typeof(leaf).sharding if isinstance(leaf, jax.core.Tracer) else leaf.sharding
    mesh = getattr(sharding, "mesh", None)
    if mesh is None or AxisType.Explicit not in mesh.axis_types:
        return leaf
    if isinstance(leaf, jax.core.Tracer):
        raise UsageError(f"An array is traced on a mesh with an Explicit axis. {_REMEDY}")
    mesh = Mesh(mesh.devices, mesh.axis_names)  # Auto
    return jax.device_put(leaf, NamedSharding(mesh, sharding.spec))
