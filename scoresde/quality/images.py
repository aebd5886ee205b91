"""Images from anywhere, a few at a time: a folder, a zip of pictures, or an array in a file.

    folder      all pictures below it, as `scoresde.data` reads a folder
    .zip        the pictures in it, as EDM packs data sets
    .npz        `samples` (scoresde), `arr_0` (guided-diffusion), `image`, or the only array
    .npy        the array

Arrays are uint8 [n, height, width, channels].
"""

import dataclasses
import hashlib
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from scoresde.channels import ADVICE, channels_first
from scoresde.data import picture_file
from scoresde.data.walk import NotRead, is_hidden, picture_suffixes, pictures
from scoresde.metrics.weight_files import sha256
from scoresde.registry import UsageError, UsageWarning, first_line

# Images whose levels are looked at.
_LOOKED_AT = 64

_KEYS = ("samples", "arr_0", "image", "images")

# What reading a damaged archive raises; or one that is encrypted, a RuntimeError.
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """A set of images that can be read a few at a time.

    Attributes:
        name: what it is called in messages and reports.
        num: how many there are.
        read: the numbers of some of them, in order -> uint8 [batch, height, width, channels].
        bins: number of gray levels.
        files: of a folder, those that are read, below it.
    """

    name: str
    num: int
    read: Callable[[np.ndarray], np.ndarray]
    bins: int = 256
    files: Sequence[pathlib.PurePath] = ()

    def sha256(self) -> str:
        """The hash of the file; of a folder, that of the names and hashes of its pictures."""
        path = pathlib.Path(self.name)
        if not self.files:
            return sha256(path)
        lines = (f"{sha256(path / name)}  {name.as_posix()}\n" for name in self.files)
        digest = hashlib.sha256()
        for line in lines:
            digest.update(line.encode())
        return digest.hexdigest()


def open_images(path: str | pathlib.Path, bins: int | None = None) -> Images:
    """The images at `path`; nothing but their number is looked at yet.

    Args:
        path: see the module.
        bins: number of gray levels of an array; what the file says, or 256, if None.

    Raises:
        UsageError: there is no such file, or it holds no images. Reading them raises it for one
            that is damaged, or of another size than the first.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_dir():
        names = sorted(pictures(path, NotRead()))
        return dataclasses.replace(_pictures(path, names, lambda name: None), files=names)
    if not path.is_file():
        raise UsageError(f"There is no file or folder {str(path)!r} to read images from.")
    kinds = {".zip": _zip, ".npz": _npz, ".npy": _npy}
    if path.suffix.lower() not in kinds:
        raise UsageError(
            f"{str(path)!r} is none of the files that hold images: give a folder of pictures, or a "
            ".zip, .npz or .npy file."
        )
    images = kinds[path.suffix.lower()](path)
    return images if bins is None else dataclasses.replace(images, bins=bins)


def _pictures(path, names, content_of):
    if not names:
        raise UsageError(f"{str(path)!r} holds no pictures.")
    first: dict[str, tuple[int, ...]] = {}

    def one(name):
        pixels, _ = picture_file.read(path / name, None, None, content=content_of(str(name)))
        height, width, _ = first.setdefault("shape", pixels.shape)
        if pixels.shape[:2] != (height, width):
            raise UsageError(
                f"{str(path / name)!r} is {pixels.shape[0]}x{pixels.shape[1]}, but others are "
                f"{height}x{width}: bring all to one size, in the way that you report."
            )
        return pixels

    def read(rows):
        return np.stack([one(names[row]) for row in rows])

    return Images(name=str(path), num=len(names), read=read)


def _zip(path):
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"{str(path)!r} cannot be read ({first_line(error)}).") from None
    suffixes = picture_suffixes()
    names = [
        pathlib.PurePosixPath(name)
        for name in sorted(archive.namelist())
        if pathlib.PurePosixPath(name).suffix.lower() in suffixes
        and not any(map(is_hidden, pathlib.PurePosixPath(name).parts))
    ]

    def content(name):
        try:
            return archive.read(name)
        except _DAMAGED as error:
            raise UsageError(
                f"{name!r} in {str(path)!r} is damaged ({first_line(error)})."
            ) from None

    return _pictures(path, names, content)


def _npy(path):
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise UsageError(f"{str(path)!r} cannot be read ({first_line(error)}).") from None
    _check(path, array.shape, array.dtype)
    _warn_of_dark(path, array[:_LOOKED_AT])
    return Images(name=str(path), num=len(array), read=lambda rows: np.asarray(array[rows]))


def _npz(path):
    try:
        archive = zipfile.ZipFile(path)
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        key = next((key for key in _KEYS if key in names), names[0] if len(names) == 1 else None)
        if key is None:
            raise UsageError(
                f"{str(path)!r} holds {', '.join(names)}: call the array of images one of "
                f"{', '.join(_KEYS)}."
            )
        array = _Streamed(archive, f"{key}.npy")
        _check(path, array.shape, array.dtype)
        bins = 256
        if "bins" not in names:
            _warn_of_dark(path, array.read(np.arange(min(_LOOKED_AT, array.shape[0]))))
        else:
            with np.load(path, allow_pickle=False) as arrays:
                bins = int(arrays["bins"])
    except UsageError:
        raise
    except (ValueError, *_DAMAGED) as error:
        raise UsageError(f"{str(path)!r} cannot be read ({first_line(error)}).") from None
    return Images(name=str(path), num=array.shape[0], read=array.read, bins=bins)


class _Streamed:
    """An array within a zip archive, of which a few rows are in memory; read in order."""

    def __init__(self, archive: zipfile.ZipFile, name: str):
        self._archive, self._name = archive, name
        self._open()

    def _open(self):
        self._file, self._at = self._archive.open(self._name), 0
        version = np.lib.format.read_magic(self._file)
        header = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
        self.shape, fortran, self.dtype = header(self._file)
        if fortran and len(self.shape) > 1:
            raise ValueError("its array is in Fortran's order")

    def read(self, rows: np.ndarray) -> np.ndarray:
        """The rows of these numbers, which do not decrease."""
        try:
            return self._read(rows)
        except _DAMAGED as error:
            raise UsageError(
                f"{self._archive.filename!r} cannot be read up to row {int(rows[-1])} "
                f"({first_line(error)})."
            ) from None

    def _read(self, rows):
        if rows[0] < self._at - 1:
            self._open()
        size = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        found = []
        for row in rows:
            while self._at <= row:
                self._last = self._file.read(size)
                if len(self._last) < size:
                    raise UsageError(f"{self._archive.filename!r} is cut off at row {self._at}.")
                self._at += 1
            found.append(np.frombuffer(self._last, self.dtype).reshape(self.shape[1:]))
        return np.stack(found)


def _warn_of_dark(path, first):
    """One line where an array in [0, 1] was probably cast to uint8 before it was scaled."""
    if first.max() <= 1:
        warnings.warn(
            f"The first images of {str(path)!r} hold nothing but 0 and 1: as levels of 0 .. 255 "
            "they are black. If they were floats in [0, 1], scale them before they become uint8.",
            UsageWarning,
            stacklevel=4,
        )


def _check(path, shape, dtype):
    if dtype != np.uint8:
        raise UsageError(
            f"{str(path)!r} holds {dtype}, and images are uint8: of floats in [0, 1] it would be "
            "(255 * x).round().astype('uint8'), and how they were rounded belongs in your report."
        )
    if len(shape) != 4 or 0 in shape:
        raise UsageError(
            f"{str(path)!r} holds an array {tuple(shape)}, and images are [n, height, width, "
            "channels]."
        )
    if channels_first(shape):
        raise UsageError(f"{str(path)!r} holds an array {tuple(shape)}. {ADVICE}")


__all__ = ["Images", "open_images"]
