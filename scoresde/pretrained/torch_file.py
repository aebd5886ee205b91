"""Reading PyTorch's files of tensors without PyTorch, and without running what they contain.

`torch.save` writes a zip archive: a pickle of the objects, and the bytes of every storage beside
it. A pickle is a program; this one may only build containers and tensors. Anything else that it
names is either replaced by an inert stand-in (PyTorch's and NumPy's own classes, in an optimizer's
state, say) or refused. Nor can it change what it is given to build with, or make this process
allocate more than the file is long.
"""

import dataclasses
import io
import math
import pathlib
import pickle
import pickletools
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

from scoresde.registry import UsageError

DTYPES = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}


class Inert:
    """What stands for an object of a class that is not built: it swallows whatever it is given."""

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, *args, **kwargs):
        pass

    def __call__(self, *args, **kwargs):
        return self

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, item):
        """Forgets the item."""

    def extend(self, items):
        """Forgets the items."""


class _Sealed:
    """An object that a pickle may use but not alter, which would otherwise bypass `frozen`."""

    def __setstate__(self, state):
        raise UsageError("The file is no file of weights: it alters what it is read with.")


class Dictionary(dict):
    """Stands for an OrderedDict; of a state dict's own attributes nothing is kept."""

    __slots__ = ()

    def __setstate__(self, state):
        pass


@dataclasses.dataclass(frozen=True)
class Storage(_Sealed):
    """The bytes of tensors, read when an array is asked for."""

    archive: pathlib.Path
    member: str
    dtype: np.dtype

    def read(self) -> np.ndarray:
        """All elements, flat.

        Raises:
            UsageError: they are not in the file.
        """
        try:
            with zipfile.ZipFile(self.archive) as archive:
                return np.frombuffer(_content(archive, self.member), self.dtype)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{self.archive} is damaged: {error!r}.") from error


@dataclasses.dataclass(frozen=True)
class Tensor(_Sealed):
    """A tensor of the file; `numpy.asarray` reads it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        flat = self.storage.read()
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides))
        inside = min((self.offset, *self.shape, *self.strides)) >= 0 and last < flat.size
        # With strides of zero, a few bytes would be an array of any size.
        if 0 not in self.shape and not (inside and math.prod(self.shape) <= flat.size):
            raise UsageError(f"A tensor of {self.storage.archive} reaches beyond its storage.")
        strides = tuple(s * flat.itemsize for s in self.strides)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides)
        return np.array(view, dtype)


class _RebuildTensor(_Sealed):
    def __call__(self, storage, offset, shape, strides, *_) -> Tensor:
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, Storage) or not all(type(n) is int for n in numbers):
            raise UsageError("The file is no file of weights: a tensor's place is not a number.")
        if len(shape) != len(strides):
            raise UsageError("The file is no file of weights: a tensor lacks a stride.")
        return Tensor(storage, offset, tuple(shape), tuple(strides))


class _RebuildParameter(_Sealed):
    def __call__(self, tensor, *_) -> Tensor:
        return tensor


ALLOWED = {
    ("collections", "OrderedDict"): Dictionary,
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    ("torch", "Size"): tuple,
    # Containers, which PyTorch's pickles find in Python 2's module.
    **{("__builtin__", kind.__name__): kind for kind in (dict, list, set, tuple)},
}
"""What a file may call."""

STOOD_IN_FOR = ("torch", "numpy", "collections")
"""Packages whose other classes are replaced by `Inert`."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, archive: pathlib.Path, root: str):
        super().__init__(file)
        self.archive, self.root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return ALLOWED[module, name]
        if module == "torch" and name in DTYPES:
            return name
        if module.partition(".")[0] in STOOD_IN_FOR:
            return Inert
        raise UsageError(
            f"{self.archive} would call {module}.{name}, which is no part of a file of weights; "
            "it was not run. Load the file in PyTorch, if you trust it, and save its state dict."
        )

    def persistent_load(self, identifier: Any) -> Storage:
        kind, dtype, key, *_ = identifier
        if kind != "storage" or not isinstance(dtype, str) or dtype not in DTYPES:
            raise UsageError(f"{self.archive} has tensors of a kind that is not known: {dtype}.")
        return Storage(self.archive, f"{self.root}/data/{key}", DTYPES[dtype])


def _content(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes, which PyTorch never compresses: they are no more than the file has."""
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise UsageError(f"{archive.filename} is compressed, as PyTorch's files never are.")
    return archive.read(name)


def _check_memo(program: bytes) -> None:
    """Refuses numbers of remembered objects for which the unpickler would allocate gigabytes."""
    for opcode, argument, _ in pickletools.genops(program):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > len(program):
            raise UsageError("The file is no file of weights: it remembers too many objects.")


def read(path: str | pathlib.Path) -> Any:
    """The objects in a file written by `torch.save`, with tensors that `numpy.asarray` reads.

    Args:
        path: a .pth or .pt file of PyTorch 1.6 or later.

    Raises:
        UsageError: no such file, another format, or a file that would do more than hold tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UsageError(f"No file {path}.")
    if not zipfile.is_zipfile(path):
        raise UsageError(
            f"{path} is not a whole PyTorch archive. Files from before PyTorch 1.6 must be loaded "
            "and saved again by a later one."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickles = [name for name in names if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise UsageError(f"{path} is a zip archive, but not of PyTorch's tensors.")
            root = pickles[0].removesuffix("/data.pkl")
            order = f"{root}/byteorder"
            if order in names and _content(archive, order) != b"little":
                raise UsageError(f"{path} was written on a big-endian machine; save it on another.")
            program = _content(archive, pickles[0])
            _check_memo(program)
            return _Unpickler(io.BytesIO(program), path, root).load()
    except UsageError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise UsageError(f"{path} is damaged: {error!r}.") from error
