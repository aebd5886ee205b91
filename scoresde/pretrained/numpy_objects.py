"""NumPy's numbers and arrays in a pickle, whatever wrote them.

    scalar(dtype, bytes)                              numpy.core or numpy._core .multiarray
    _reconstruct(ndarray, (0,), b"b") + BUILD(version, shape, dtype, is_fortran, bytes)
    _frombuffer(buffer, dtype, shape, order)          protocol 5
    dtype("f8", False, True) + BUILD(3, "<", None, None, None, -1, -1, 0)

Those of numbers get their value. Others (strings, dates, records, objects) are stand-ins, and so is
everything else of NumPy's, as the states of its random generators.
"""

import math
import re
from typing import Any

import ml_dtypes
import numpy as np

from scoresde.pretrained.stand_ins import StandIn
from scoresde.registry import UsageError

NUMBERS = re.compile(r"b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)")
"""The types of numbers, without byte order."""

ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
"""The types of numbers that NumPy knows from ml_dtypes."""


class Dtype(StandIn):
    """Stands for a dtype."""

    __slots__ = ()
    name = "numpy.dtype"

    @property
    def numpy(self) -> np.dtype | None:
        """The type of numbers that it is, or None."""
        kind = self.arguments[0] if self.arguments else None
        of_ml = getattr(kind, "name", "") if isinstance(kind, type) else ""
        if of_ml.startswith("ml_dtypes.") and of_ml[10:] in ML_DTYPES:
            return np.dtype(getattr(ml_dtypes, of_ml[10:]))
        if not isinstance(kind, str) or not NUMBERS.fullmatch(kind):
            return None
        order = self.state[1] if isinstance(self.state, tuple) and len(self.state) > 1 else "="
        try:
            return np.dtype(kind).newbyteorder(order)
        except (TypeError, ValueError):  # long doubles that this machine lacks
            return None


class Scalar(StandIn):
    """Stands for NumPy's `scalar`: it gives the number itself."""

    __slots__ = ()
    name = "numpy.scalar"

    def __new__(cls, *args):
        dtype, raw = args if len(args) == 2 else (None, None)
        kind = dtype.numpy if isinstance(dtype, Dtype) else None
        fits = kind is not None and hasattr(raw, "__len__") and len(raw) == kind.itemsize
        content = as_bytes(raw) if fits else None
        return super().__new__(cls, *args) if content is None else np.frombuffer(content, kind)[0]


class Array(StandIn):
    """Stands for an array; where it is one of numbers, `numpy.asarray` reads it."""

    __slots__ = ()
    name = "numpy.ndarray"

    def _parts(self) -> tuple[np.dtype, tuple[int, ...], str, bytes] | None:
        """Its type, shape, order and bytes; None if it is not one of numbers."""
        if isinstance(self.state, tuple) and len(self.state) in (4, 5):
            shape, dtype, fortran, raw = self.state[-4:]
            order = "F" if fortran else "C"
        elif self.state is None and len(self.arguments) == 4:
            raw, dtype, shape, order = self.arguments
        else:
            return None
        dtype = dtype.numpy if isinstance(dtype, Dtype) else None
        numbers = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if dtype is None or not numbers or order not in ("C", "F") or not hasattr(raw, "__len__"):
            return None
        raw = as_bytes(raw) if math.prod(shape) * dtype.itemsize == len(raw) else None
        return None if raw is None else (dtype, shape, order, raw)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape; an AttributeError if it is not one of numbers."""
        parts = self._parts()
        if parts is None:
            raise AttributeError("shape")
        return parts[1]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        parts = self._parts()
        if parts is None:
            raise UsageError("An array of the file is not one of numbers, or is cut off.")
        kind, shape, order, raw = parts
        array = np.frombuffer(raw, kind).reshape(shape, order=order)
        return np.array(array, kind.newbyteorder("=") if dtype is None else dtype)


def as_bytes(raw: Any) -> bytes | bytearray | None:
    """What is or stands for bytes; Python 2 wrote them as strings."""
    if isinstance(raw, str):
        try:
            return raw.encode("latin1")
        except UnicodeEncodeError:
            return None
    return raw if isinstance(raw, bytes | bytearray) else None


def known(module: str, name: str) -> type[StandIn] | None:
    """What stands for a name of NumPy's that numbers are made with."""
    if module.partition(".")[0] != "numpy":
        return None
    if module == "numpy":
        return Dtype if name == "dtype" else None
    return {"scalar": Scalar, "_reconstruct": Array, "_frombuffer": Array}.get(name)
