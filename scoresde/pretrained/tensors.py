"""Tensors of PyTorch's files, which are read when `numpy.asarray` asks for them.

A tensor is a view of a storage, a flat array that others may share:

    x[i, j, ...] = storage[offset + i strides[0] + j strides[1] + ...].
"""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from scoresde.pretrained.stand_ins import Sealed
from scoresde.registry import UsageError

DTYPES = {
    **{"float64": np.dtype("<f8"), "float32": np.dtype("<f4"), "float16": np.dtype("<f2")},
    **{"complex128": np.dtype("<c16"), "complex64": np.dtype("<c8"), "bool": np.dtype("?")},
    **{f"int{8 * n}": np.dtype(f"<i{n}") for n in (1, 2, 4, 8)},
    **{f"uint{8 * n}": np.dtype(f"<u{n}") for n in (1, 2, 4, 8)},
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float8_e4m3fn": np.dtype(ml_dtypes.float8_e4m3fn),
    "float8_e5m2": np.dtype(ml_dtypes.float8_e5m2),
    "float8_e4m3fnuz": np.dtype(ml_dtypes.float8_e4m3fnuz),
    "float8_e5m2fnuz": np.dtype(ml_dtypes.float8_e5m2fnuz),
}
"""Types of elements by PyTorch's names."""

STORAGES = {
    **{"DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16"},
    **{"BFloat16Storage": "bfloat16", "BoolStorage": "bool", "ByteStorage": "uint8"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16"},
    **{"CharStorage": "int8", "UntypedStorage": "uint8"},
    **{"ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128"},
    # The integers that quantized tensors, which are stood in for, are made of.
    **{"QInt8Storage": "int8", "QUInt8Storage": "uint8", "QInt32Storage": "int32"},
    **{"QUInt4x2Storage": "uint8", "QUInt2x4Storage": "uint8"},
}
"""Types of elements by the names of PyTorch's storages."""


class File(Protocol):
    """A file of storages.

    Attributes:
        path: where it is.
        size: its number of bytes.
        big_endian: whether numbers have their most significant byte first.
    """

    path: pathlib.Path
    size: int
    big_endian: bool

    def content(self, key: str) -> np.ndarray:
        """The bytes of a storage, not copied.

        Raises:
            UsageError: the file does not have them.
        """


@dataclasses.dataclass(frozen=True)
class ElementType(Sealed):
    """Stands for a type of elements or of storages."""

    name: str


@dataclasses.dataclass(frozen=True)
class Storage(Sealed):
    """A flat array of a file's, or a part of one."""

    file: File
    key: str
    dtype: np.dtype
    start: int = 0
    stop: int | None = None

    def content(self) -> np.ndarray:
        """Its bytes, not copied.

        Raises:
            UsageError: they are not in the file.
        """
        first, last = (n and n * self.dtype.itemsize for n in (self.start, self.stop))
        return self.file.content(self.key)[first:last]


@dataclasses.dataclass(frozen=True)
class Tensor(Sealed):
    """A tensor of the file; `numpy.asarray` reads it.

    `conjugate` and `negative` are PyTorch's marks of a view whose elements are still to be so.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    conjugate: bool = False
    negative: bool = False

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        content, size = self.storage.content(), self.dtype.itemsize
        elements, count, file = len(content) // size, math.prod(self.shape), self.storage.file
        if not count:
            if min(self.shape) < 0 or max(self.shape) > file.size:
                raise UsageError(f"A tensor of {file.path} has an impossible shape, {self.shape}.")
            return np.empty(self.shape, self.dtype if dtype is None else dtype)
        strides = tuple(0 if n == 1 else s for n, s in zip(self.shape, self.strides))
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, strides))
        inside = min((self.offset, *self.shape, *strides)) >= 0 and last < elements
        # With strides of zero, a few bytes would be an array of any size.
        if not inside or (count > elements and count * size > file.size):
            raise UsageError(f"A tensor of {file.path} reaches beyond its storage.")
        steps = tuple(s * size for s in strides)
        view = np.ndarray(self.shape, self.dtype, content, self.offset * size, steps)
        array = view.copy()
        if file.big_endian:
            unit = array.itemsize // (2 if array.dtype.kind == "c" else 1)
            array.reshape(-1).view(f"u{unit}").byteswap(inplace=True)
        array = np.conj(array, out=array) if self.conjugate else array
        array = np.negative(array, out=array) if self.negative else array
        return array if dtype is None else array.astype(dtype)


def _tensor(storage, offset, shape, strides, dtype: np.dtype, metadata=None) -> Tensor:
    try:
        numbers = (offset, *shape, *strides)
    except TypeError:
        numbers = (None,)
    if not isinstance(storage, Storage) or not all(type(n) is int for n in numbers):
        raise UsageError("The file is no file of weights: a tensor's place is not a number.")
    if len(shape) != len(strides) or len(shape) > 32:
        raise UsageError("The file is no file of weights: a tensor lacks a stride.")
    marks = metadata if isinstance(metadata, Mapping) else {}
    marked = (marks.get("conj") is True, marks.get("neg") is True)
    return Tensor(storage, offset, tuple(shape), tuple(strides), dtype, *marked)


class RebuildTensor(Sealed):
    """`_rebuild_tensor` and `_rebuild_tensor_v2`: a view of a storage, of its elements' type."""

    def __call__(self, storage, offset, shape, strides, grad=None, hooks=None, metadata=None, *_):
        dtype = getattr(storage, "dtype", None)
        return _tensor(storage, offset, shape, strides, dtype, metadata)


class RebuildTensorOfType(Sealed):
    """`_rebuild_tensor_v3`: a view of plain bytes, for types that have no storage of their own."""

    def __call__(self, storage, offset, shape, strides, grad, hooks, dtype, metadata=None, *_):
        if not isinstance(dtype, ElementType) or dtype.name not in DTYPES:
            raise UsageError("The file is no file of weights: a tensor has no type of elements.")
        return _tensor(storage, offset, shape, strides, DTYPES[dtype.name], metadata)


class First(Sealed):
    """Functions that give their first argument, a tensor, further properties."""

    def __call__(self, tensor, *_) -> Any:
        return tensor


class RebuildFromType(Sealed):
    """`_rebuild_from_type_v2(function, class, arguments, state)`: a tensor with attributes."""

    def __call__(self, function, cls, arguments, *_) -> Any:
        if not isinstance(function, RebuildTensor | RebuildTensorOfType | First):
            return cls() if isinstance(cls, type) else None
        return function(*arguments)


class LoadFromBytes(Sealed):
    """`_load_from_bytes`: how `pickle.dump`, which has no storages beside it, writes one."""

    def __call__(self, *_) -> Any:
        raise UsageError(
            "The file was written by pickle.dump, which makes a file inside of it of each tensor. "
            "Load it in PyTorch, if you trust it, and write it by torch.save."
        )


REBUILD = {
    ("torch.storage", "_load_from_bytes"): LoadFromBytes(),
    ("torch._utils", "_rebuild_tensor"): RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v3"): RebuildTensorOfType(),
    ("torch._utils", "_rebuild_parameter"): First(),
    ("torch._utils", "_rebuild_parameter_with_state"): First(),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): First(),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): First(),
    ("torch._utils", "_rebuild_xla_tensor"): First(),
    ("torch._tensor", "_rebuild_from_type_v2"): RebuildFromType(),
    ("torch._tensor", "_rebuild_from_type"): RebuildFromType(),
    ("torch.tensor", "_rebuild_from_type"): RebuildFromType(),
}
"""PyTorch's functions that make tensors, and what stands for them."""
