"""Files that are whole or not there at all."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np


@contextlib.contextmanager
def replacing(path: str | os.PathLike, mode: str = "wb") -> Iterator[IO]:
    """A file to write that takes the place of `path` once the block ends without an error.

    It is written beside its place, so that a reader or a crash never meets half a file. Parent
    folders are made.

    Args:
        path: the file.
        mode: "wb" or "w" (UTF-8).
    """
    path = pathlib.Path(path)
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
        os.unlink(work)
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes `text` to `path`."""
    with replacing(path, "w") as file:
        file.write(text)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_arrays(path: str | os.PathLike, **arrays: np.ndarray) -> None:
    """Writes a compressed .npz."""
    with replacing(path) as file:
        np.savez_compressed(file, **arrays)
