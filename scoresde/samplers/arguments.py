"""The arguments of `sample`, checked before anything is computed."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.registry import UsageError, first_line, shown
from scoresde.samplers.interface import Constraint, Sampler


def check_sampler(sampler: Any) -> None:
    """Raises UsageError for a name, a class, or anything else that is no sampler."""
    if isinstance(sampler, Sampler):
        return
    if isinstance(sampler, str):
        given = f"the name {sampler!r}; samplers.get({sampler!r}) makes one of it"
    elif isinstance(sampler, type):
        given = f"the class {sampler.__name__}; {sampler.__name__}() makes one of it"
    else:
        given = f"{shown(sampler)}; samplers.get makes one by its name"
    raise UsageError(f"sample() needs a sampler, not {given}.")


def constraint_as_pytree(constraint: Constraint | None) -> Any:
    """The constraint as an argument of a compiled function."""
    if constraint is None or not jax.tree_util.all_leaves([constraint]):
        return constraint
    if not callable(constraint):
        raise UsageError(
            f"A constraint is a function (keys, x, t, condition) -> x, not {shown(constraint)}."
        )
    try:
        hash(constraint)
    except TypeError:
        raise UsageError(
            f"The constraint, a {type(constraint).__name__}, holds what has no hash: put "
            "@jax.tree_util.register_dataclass above its @dataclasses.dataclass."
        ) from None
    return jax.tree_util.Partial(constraint)


def sample_shape(shape: Any) -> tuple[int, ...]:
    """A shape [batch, ...] as integers.

    Raises:
        UsageError: it is none, or of no samples.
    """
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise UsageError(
            "The shape of the samples is [batch, ...], for instance (64, 32, 32, 3), each at least "
            f"1, and not {shown(shape)}."
        )
    return sizes


def as_states(x: ArrayLike) -> Array:
    """States to start from, [batch, ...], in the float type of JAX.

    Raises:
        UsageError: they are no numbers, or none.
    """
    try:
        x = jnp.asarray(x, jnp.result_type(float))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"States are arrays of numbers [batch, ...]: {first_line(error)}"
        ) from None
    if not x.ndim or not x.size:
        raise UsageError(f"States are arrays [batch, ...], and not of shape {x.shape}.")
    return x


def stride(trajectory: int | bool | None, record: Callable | None) -> int | None:
    """At every how many times of the grid a state is recorded; None for never.

    Raises:
        UsageError: `trajectory` is no positive integer, or `record` no function.
    """
    if record is not None and not callable(record):
        raise UsageError(f"record is a function of a state [batch, ...], and not {shown(record)}.")
    if trajectory is None or trajectory is False:
        return None if record is None else 1
    try:
        every = operator.index(trajectory)
    except TypeError:
        every = 0
    if every < 1:
        raise UsageError(f"trajectory must be a positive stride, got {shown(trajectory)}.")
    return every
