"""Which rows of a set a subset takes: drawn as the published tools draw, or given."""

import numbers
from typing import Any

import numpy as np

from scoresde.registry import UsageError, shown


def are_rows(value: Any) -> bool:
    """Whether a choice of subsets is their rows, rather than a seed."""
    return isinstance(value, tuple | list) or getattr(value, "ndim", 0) > 0


def generator(seed: Any) -> np.random.RandomState:
    """NumPy's legacy generator, whose streams are frozen and which the published tools use.

    Raises:
        UsageError: the seed is no integer in [0, 2^32).
    """
    integer = isinstance(seed, numbers.Integral) and not isinstance(seed, bool | np.bool_)
    if not integer or not 0 <= seed < 2**32:
        raise UsageError(f"The seed must be an integer from 0 to 2^32 - 1, not {shown(seed)}.")
    return np.random.RandomState(int(seed))


def count(value: Any, what: str, least: int = 1) -> int:
    """An option that is a number of things.

    Raises:
        UsageError: it is no integer, or below `least`.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool | np.bool_):
        raise UsageError(f"{what} must be an integer, not {shown(value)}.")
    if value < least:
        raise UsageError(f"{what} must be at least {least}, got {value}.")
    return int(value)


def indices(value: Any, what: str, rows: int, axes: int) -> np.ndarray:
    """Row numbers that somebody gives.

    Args:
        value: integers with `axes` axes, in [0, rows).
        what: of what, for the error message.
        rows: how many there are to choose from.
        axes: how many axes they must have.

    Raises:
        UsageError: anything else.
    """
    try:
        found = np.asarray(value)
    except ValueError:  # lists of several lengths
        found = np.empty(0)
    if found.dtype.kind not in "iu" or found.ndim != axes or not found.size:
        of = "[subsets, size]" if axes == 2 else "[size]"
        raise UsageError(f"The rows of {what} must be integers {of}, not {shown(value)}.")
    if found.min() < 0 or found.max() >= rows:
        raise UsageError(
            f"The rows of {what} must be from 0 to {rows - 1}, got {found.min()} to {found.max()}."
        )
    return found.astype(np.int64)
