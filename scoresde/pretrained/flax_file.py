"""Reading Flax's msgpack files as plain dictionaries, whatever classes their writer had.

The layout is MessagePack with three extension types: an array, a Python complex number and a NumPy
scalar.
"""

import pathlib
from typing import Any

import msgpack
import numpy as np

from scoresde.pretrained import file_kinds
from scoresde.registry import UsageError

ARRAY, COMPLEX, SCALAR = 1, 2, 3
"""Flax's extension types."""

CHUNKED = "__msgpack_chunked_array__"
"""The mark of an array too large for one MessagePack object."""


def _extension(code: int, data: bytes) -> Any:
    if code == COMPLEX:
        return complex(*msgpack.unpackb(data))
    if code in (ARRAY, SCALAR):
        shape, dtype, buffer = msgpack.unpackb(data, raw=True)
        array = np.frombuffer(buffer, np.dtype(dtype.decode())).reshape(shape)
        return array if code == ARRAY else array[()]
    return msgpack.ExtType(code, data)


def _join(tree: Any) -> Any:
    """Puts chunked arrays together."""
    if not isinstance(tree, dict):
        return tree
    if CHUNKED in tree:
        shape, chunks = (
            [tree[part][str(i)] for i in range(len(tree[part]))] for part in ("shape", "chunks")
        )
        return np.concatenate(chunks).reshape(shape)
    return {name: _join(value) for name, value in tree.items()}


def read(path: str | pathlib.Path) -> dict[str, Any]:
    """The nested dictionaries of arrays in a file written by `flax.serialization`.

    Args:
        path: a file such as flax.training.checkpoints wrote before Orbax.

    Raises:
        UsageError: no such file, or another format.
    """
    path = pathlib.Path(path)
    file_kinds.check(path)
    content = path.read_bytes()
    if content[:4] == b"PK\3\4" or content[:4].startswith((b"\x80\2\x8a", b"\x93NUMPY")):
        raise UsageError(f"{path} is not a whole Flax msgpack file, but one of PyTorch or NumPy.")
    try:
        tree = _join(msgpack.unpackb(content, ext_hook=_extension))
    except Exception as error:  # anything may be in a file of another format
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        cut = " It is cut off; download it again." if "incomplete" in reason else ""
        raise UsageError(f"{path} is not a whole Flax msgpack file: {reason}.{cut}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path} is not a Flax msgpack file.")
    return tree
