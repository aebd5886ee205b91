"""Plain options (numbers, names, True or False), checked by the types that they are declared with.

A component compares its options with numbers; without this, a wrong type is an error of Python's
that names neither the component nor the option.
"""

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Callable
from typing import Any

import numpy as np

from scoresde.errors import UsageError, shown

_WORDS = {bool: "True or False", int: "an integer", float: "a number", str: "a name"}


def check(what: str, value: Any, hint: Any) -> None:
    """Raises UsageError unless `value` is of the plain type `hint`.

    Args:
        what: the option, for the error message.
        value: its value. An array without axes, which JAX may be tracing, is a number.
        hint: bool, int, float or str, or one of them and None; anything else is not checked.
    """
    if isinstance(hint, types.UnionType):
        members = typing.get_args(hint)
        if value is None and type(None) in members:
            return
        members = [member for member in members if member is not type(None)]
        hint = members[0] if len(members) == 1 else None
    if hint in _WORDS and not _is(value, hint):
        raise UsageError(f"{what} must be {_WORDS[hint]}, not {shown(value)}.")


def _is(value, hint):
    if hint is str:
        return isinstance(value, str)
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, numbers.Integral if hint is int else numbers.Real):
        return True
    kinds = "iu" if hint is int else "iufV"  # V: bfloat16
    return getattr(value, "shape", None) == () and np.dtype(value.dtype).kind in kinds


def interval(what: str, value: Any) -> tuple[float, float]:
    """`value` as (low, high), with low < high.

    Args:
        what: the option, for the error message.
        value: its value.

    Raises:
        UsageError: it is anything else.
    """
    try:
        low, high = value
        if low < high:
            return low, high
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{what} must be (low, high) with low < high, not {shown(value)}.")


def check_fields(instance: Any) -> None:
    """Raises UsageError for a field of a dataclass whose value is not of its plain type."""
    hints = hints_of(type(instance))
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if field.name in hints and value is not field.default:
            check(f"{field.name} of {type(instance).__name__}", value, hints[field.name])


@functools.cache
def hints_of(component: Callable) -> dict[str, Any]:
    """The types of a component's options; none where they cannot be known."""
    try:
        return typing.get_type_hints(component)
    except Exception:  # of one's own: names that are not there when it is asked
        return {}
