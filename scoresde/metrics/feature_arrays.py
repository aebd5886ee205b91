"""Sets of features: arrays [n, d] of finite numbers, a row an image."""

from typing import Any

import ml_dtypes
import numpy as np

from scoresde.registry import UsageError, first_line, shown

BLOCK = 4096
"""Rows that are looked at or computed with at a time, which bounds memory."""

EXACT_IN_FLOAT32 = tuple(map(np.dtype, (np.float16, np.float32, ml_dtypes.bfloat16)))


def checked(value: Any, what: str, least: int = 1) -> np.ndarray:
    """The features on the host, in float64, or in float32 where that holds them exactly.

    Args:
        value: [n, d], of NumPy or JAX, real numbers of any type.
        what: whose they are, for the error message.
        least: the fewest rows that will do.

    Raises:
        UsageError: no such array, too few rows, or numbers that are not finite.
    """
    try:
        array = np.asarray(value)
        exact = array.dtype in EXACT_IN_FLOAT32
        if array.dtype.kind in "bcOSUMm":
            raise TypeError(f"they are of the type {array.dtype}")
        array = array.astype(np.float32 if exact else np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{what} must be an array of real numbers, [n, d], not {shown(value)}: "
            f"{first_line(error)}."
        ) from None
    if array.ndim != 2 or not array.shape[1]:
        raise UsageError(
            f"{what} must be an array [n, d], a row an image, got the shape {array.shape}."
        )
    if len(array) < least:
        raise UsageError(f"{what} must have at least {least} rows, got {len(array)}.")
    for start in range(0, len(array), BLOCK):
        finite = np.isfinite(array[start : start + BLOCK]).all(axis=1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            raise UsageError(
                f"{what} must be finite numbers: row {row} of {len(array)} has NaN or infinity."
            )
    return array


def pair(gen: Any, ref: Any, least: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Generated and reference features of one length, as `checked`.

    Raises:
        UsageError: as `checked`, or the rows of one are longer than those of the other.
    """
    gen = checked(gen, "The generated features", least)
    ref = checked(ref, "The reference features", least)
    if gen.shape[1] != ref.shape[1]:
        raise UsageError(
            f"Generated and reference features must be of one kind, got {gen.shape[1]} and "
            f"{ref.shape[1]} numbers an image."
        )
    return gen, ref
