"""Rows of memory-mapped arrays, read instead of mapped, so that memory stays what a batch needs.

Every page that is touched through a map counts as the process's own, and a modern kernel maps
megabytes at a touch: after a few batches in random order the whole file is. A read goes through the
kernel's cache of files, which is nobody's and is given up when memory is short.
"""

import errno
import os
import pathlib
import threading
import weakref

import numpy as np
from numpy.lib.format import open_memmap

from scoresde import files
from scoresde.registry import UsageError

# Bytes that are looked at in one go.
_BLOCK = 2**26

_lock = threading.Lock()
_descriptors: dict[int, int] = {}  # open files, by the id of the map


def rows_of(array: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """`array[rows]`, which is read from its file where `array` is a map of one, or a part of it.

    Args:
        array: any array [n, ...].
        rows: numbers of rows, or a slice of them.

    Raises:
        UsageError: the file has become shorter.
    """
    place = _place(array)
    if place is None:
        return array[rows]
    if isinstance(rows, slice):
        rows = np.arange(*rows.indices(len(array)))
    rows = np.asarray(rows)
    known = rows.ndim == 1 and rows.dtype.kind in "iu" and rows.size and array.size
    if not known or rows.min() < 0 or rows.max() >= len(array):
        return array[rows]
    descriptor, offset, name = place
    out = np.empty((len(rows), *array.shape[1:]), array.dtype)
    size = array.nbytes // len(array)
    views = out.reshape(-1).view(np.uint8).reshape(len(rows), size)
    if rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        views = [views.reshape(-1)]  # neighbors, at once
    for view, row in zip(views, rows.tolist()):
        start = offset + row * size
        if (count := os.preadv(descriptor, [view], start)) < len(view):
            _fill(memoryview(view)[count:], descriptor, start + count, name)
    return out


def is_mapped(array: np.ndarray) -> bool:
    """Whether the rows of an array are read from its file."""
    return _place(array) is not None


def new_map(file: pathlib.Path, shape: tuple[int, ...], dtype: np.dtype = np.uint8) -> np.memmap:
    """An .npy file to write through a map, whose room on the disk is taken at once.

    Where there is none left, to write through a map ends the process, without a word.

    Raises:
        UsageError: the disk is full, read-only or gone.
    """
    with files.writing(file):
        array = open_memmap(file, mode="w+", dtype=dtype, shape=shape)
        size = array.offset + array.nbytes
        with open(file, "r+b") as opened:
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(opened.fileno(), 0, size)
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                    raise
    return array


def largest(array: np.ndarray) -> int:
    """The largest value of an array of images, which is looked at a part at a time."""
    step = max(1, _BLOCK // max(1, array.nbytes // len(array)))
    return max(
        int(rows_of(array, slice(start, start + step)).max())
        for start in range(0, len(array), step)
    )


def _fill(view: memoryview, descriptor: int, offset: int, name: str) -> None:
    """The rest of a read that the system did in parts."""
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            raise UsageError(f"{name} has been cut short since it was opened: restore it.")
        view, offset = view[count:], offset + count


def _place(array: np.ndarray) -> tuple[int, int, str] | None:
    """An open file, and where in it the array begins; None of what is not there as it is here."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    if not isinstance(root, np.memmap) or root.mode == "c" or not array.flags.c_contiguous:
        return None
    if root.filename is None or not hasattr(os, "preadv"):
        return None
    with _lock:
        descriptor = _descriptors.get(id(root))
        if descriptor is None:
            try:
                descriptor = os.open(root.filename, os.O_RDONLY)
            except OSError:  # it was moved, and only the map has it
                return None
            _descriptors[id(root)] = descriptor
            weakref.finalize(root, _close, id(root))
    return descriptor, root.offset + array.ctypes.data - root.ctypes.data, str(root.filename)


def _close(number: int) -> None:
    with _lock:
        os.close(_descriptors.pop(number))
