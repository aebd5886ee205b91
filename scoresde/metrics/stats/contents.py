"""The arrays in a file, by name, of NumPy's, PyTorch's and Python's formats alike.

Only those are read that statistics are made of: a file may have gigabytes of images beside them.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scoresde.pretrained import file_kinds, numpy_objects, tensors, torch_file
from scoresde.registry import UsageError, shown

WANTED = ("mu", "sigma", "mu_s", "sigma_s", "pool_3", "logits", "feats", "reps", "arr_0")
"""Names of arrays of numbers."""

NOTES = ("num_images", "protocol")
"""Names of a number and a text that say what these are of."""


@dataclasses.dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds.

    Attributes:
        names: of all that it has.
        arrays: those of `WANTED` and `NOTES` that it has.
        sections: moments by what they are of, {"fid": {"mu": ..., "sigma": ...}}.
    """

    names: list[str]
    arrays: Mapping[str, Any]
    sections: Mapping[str, Mapping[str, Any]]


def read(path: pathlib.Path) -> Contents:
    """What a file holds.

    Raises:
        UsageError: no such file, a damaged one, another format, or a pickle that would run
            something.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file of statistics.")
    file_kinds.check(path)
    return file_kinds.guarded(path, lambda: _read(path))


def _read(path: pathlib.Path) -> Contents:
    with open(path, "rb") as file:
        head = file.read(6)
    if head == b"\x93NUMPY":
        return Contents(["arr_0"], {"arr_0": np.load(path, allow_pickle=False)}, {})
    if head[:2] == b"PK":
        file = np.load(path, allow_pickle=False)
        with file:
            # PyTorch's archives have members, too, but none of NumPy's.
            if any(name.endswith(".npy") for name in file.zip.namelist()):
                return Contents(list(file.files), _of_npz(file, path), {})
    return _of_pickle(torch_file.read(path), path)


def _of_npz(file: Any, path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; logits of None, which score_sde writes at 256 pixels, are left out."""
    arrays = {}
    for name in (*WANTED, *NOTES):
        if name not in file.files:
            continue
        with file.zip.open(f"{name}.npy") as member:
            shape, _, dtype = _header(member)
        if dtype.hasobject and name == "logits":
            continue
        if dtype.hasobject:
            raise UsageError(f"{path}: {name} is of Python objects, which are not read.")
        if name != "arr_0" or len(shape) == 2:
            arrays[name] = file[name]
    return arrays


def _header(member: Any) -> tuple:
    """Shape, order and type of an array in NumPy's format."""
    version = np.lib.format.read_magic(member)
    of_1 = version == (1, 0)
    return (np.lib.format.read_array_header_1_0 if of_1 else np.lib.format.read_array_header_2_0)(
        member
    )


def _of_pickle(found: Any, path: pathlib.Path) -> Contents:
    if isinstance(found, tensors.Tensor | numpy_objects.Array):
        return Contents(["arr_0"], {"arr_0": np.asarray(found)}, {})
    if not isinstance(found, Mapping):
        raise UsageError(f"{path} has no arrays by name, but {shown(found)}.")
    sections = {
        str(name): _arrays(part)
        for name, part in found.items()
        if isinstance(part, Mapping) and {"mu", "sigma"} <= part.keys()
    }
    return Contents([str(name) for name in found], _arrays(found), sections)


def _arrays(found: Mapping) -> dict[str, Any]:
    arrays = {}
    for name in (*WANTED, *NOTES):
        value = found.get(name)
        if isinstance(value, tensors.Tensor | numpy_objects.Array | int | str):
            arrays[name] = np.asarray(value)
    return arrays


def listed(names: Iterable[str]) -> str:
    """Some of the names, for a message."""
    return file_kinds.some(names)
