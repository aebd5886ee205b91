"""What is restored or edited: picture files, and arrays of what no picture holds."""

import hashlib
import os
import pathlib
import warnings
from typing import NamedTuple

import jax
import numpy as np

from scoresde.data import picture_file
from scoresde.data.walk import NotRead, pictures
from scoresde.registry import UsageError, UsageWarning, first_line, shown


class Inputs(NamedTuple):
    """The inputs of a job, all of one shape.

    Attributes:
        names: of each, below the folder, without the ending; "/" between folders.
        files: where each is.
        arrays: [n, height, width, channels] uint8 of pictures, [n, ...] float32 of arrays.
    """

    names: list[str]
    files: list[pathlib.Path]
    arrays: np.ndarray

    def digests(self) -> list[str]:
        """The SHA-256 of each one's values and shape, in hexadecimal."""
        return [digest(array) for array in self.arrays]

    def keys(self, key: jax.Array) -> jax.Array:
        """A key for each, [n], that depends on `key` and what it holds: on nothing beside it."""
        words = [[int(text[i : i + 8], 16) for i in (0, 8)] for text in self.digests()]
        words = np.array(words, np.uint32)
        fold = jax.vmap(jax.random.fold_in, in_axes=(0, 0))
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, words[:, 0])
        return fold(keys, words[:, 1])


def digest(array: np.ndarray) -> str:
    """The SHA-256 of an array's values, shape and type, in hexadecimal."""
    array = np.ascontiguousarray(array)
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()


def read_inputs(
    path: str | os.PathLike, shape: tuple[int, ...], *, fit: bool = False, in_pictures: bool = True
) -> Inputs:
    """A file, or all in a folder and below it, ordered by path.

    Args:
        path: the file or folder: pictures, or .npy files of one array each.
        shape: that each must have; of pictures (height, width, 1 or 3).
        fit: cut the largest central square out of each picture and resize it.
        in_pictures: whether pictures are inputs; else arrays alone.

    Raises:
        UsageError: nothing there, what cannot be read, is of another shape, or two inputs whose
            results would have one name.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"The input is a file or a folder, not {shown(path)}.")
    path = pathlib.Path(path).expanduser()
    files, root = _files(path)
    arrays = sorted({file.suffix.lower() == ".npy" for file in files})
    if len(arrays) > 1:
        raise UsageError(f"{str(path)!r} holds pictures and .npy arrays: give one kind at a time.")
    if arrays == [False] and not in_pictures:
        raise UsageError(
            f"{str(files[0])!r}: what is observed here is no picture. Give a .npy array of shape "
            f"{shape}, or --observe to make one of a clean picture."
        )
    if fit and shape[0] != shape[1]:
        raise UsageError(f"--fit makes squares, and the images here are {shape[0]}x{shape[1]}.")
    read = [_array(f, shape) if arrays == [True] else _picture(f, shape, fit) for f in files]
    names = [file.relative_to(root).with_suffix("").as_posix() for file in files]
    for i, name in enumerate(names):
        if name in names[:i]:
            raise UsageError(
                f"{str(files[names.index(name)])!r} and {str(files[i])!r} would have results of "
                "one name: rename one of them."
            )
    return Inputs(names, files, np.stack(read))


def _files(path):
    """The files at a path, and the folder that their names are below."""
    if path.is_file():
        return [path], path.parent
    if not path.is_dir():
        raise UsageError(f"There is no file or folder {str(path)!r} to read.")
    not_read = NotRead()
    files = [path / name for name in pictures(path, not_read)]
    files = sorted({*files, *(f for f in path.rglob("*.npy") if not f.name.startswith("."))})
    if not files:
        but = f", but {not_read}" if not_read else ""
        raise UsageError(f"{str(path)!r} holds no images{but}.")
    if not_read and not any(file.suffix == ".npy" for file in files):
        warnings.warn(f"Not read in {str(path)!r}: {not_read}.", UsageWarning, stacklevel=4)
    return files, path


def _picture(file, shape, fit):
    height, width, channels = shape
    pixels, _ = picture_file.read(file, height if fit else None, None, channels)
    if pixels.shape != shape:
        remedy = "bring it to that size" + ("" if fit else ", or give --fit to crop and resize")
        raise UsageError(
            f"{str(file)!r} is {pixels.shape[0]}x{pixels.shape[1]}, and images here are "
            f"{height}x{width}: {remedy}."
        )
    return pixels


def _array(file, shape):
    try:
        array = np.load(file, allow_pickle=False)
        kind = array.dtype.kind
    except (OSError, ValueError, EOFError, AttributeError) as error:
        raise UsageError(f"{str(file)!r} cannot be read ({first_line(error)}).") from None
    if kind not in "fiu" or array.shape != shape:
        raise UsageError(
            f"{str(file)!r} holds {array.dtype} {list(array.shape)}, and what is observed of an "
            f"image here are numbers of shape {list(shape)}."
        )
    if not np.isfinite(array).all():
        raise UsageError(f"{str(file)!r} holds values that are not finite.")
    return array.astype(np.float32)
