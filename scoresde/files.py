"""Files that are whole or not there at all, and what is said of a disk that takes no more."""

import contextlib
import errno
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from scoresde.registry import UsageError

_REMEDY = "Restore it, or make the directory that it is in anew."

# What disks refuse with: full, over a quota, gone, read-only, of somebody else.
_OF_DISKS = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "ENOENT", "ENOTDIR", "ESTALE", "EEXIST"),
        *("EROFS", "EACCES", "EPERM"),
    )
    if hasattr(errno, name)
}


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """A block that writes `path`; what the disk refuses is told in one line.

    Raises:
        UsageError: in place of an OSError that is of the disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_DISKS:
            raise
        raise UsageError(cannot_write(path, error.strerror)) from error


def cannot_write(path: str | os.PathLike, reason: str) -> str:
    """The line that says so, and what to do."""
    return (
        f"{path} cannot be written to ({reason}). Make room there, or give a directory that can "
        "be written to; the same command then goes on from what is there."
    )


@contextlib.contextmanager
def replacing(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    """A file to write that takes the place of `path` once the block ends without an error.

    It is written beside its place, so that a reader or a crash never meets half a file. Parent
    folders are made.

    Args:
        path: the file.
        mode: "wb" or "w" (UTF-8).

    Raises:
        UsageError: the disk is full, read-only or gone.
    """
    path = pathlib.Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, work = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.chmod(work, 0o644)  # mkstemp's files are private
            os.replace(work, path)
        except BaseException:
            with contextlib.suppress(OSError):  # which has gone with its directory
                os.unlink(work)
            raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path`."""
    with replacing(path, "w") as file:
        file.write(text)


def read_json(path: str | os.PathLike) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it cannot be read, or holds something else.
    """
    try:
        value = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise UsageError(f"{path} cannot be read ({error}). {_REMEDY}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no JSON object. {_REMEDY}")
    return value


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_arrays(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Writes a compressed .npz."""
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
