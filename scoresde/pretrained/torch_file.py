"""Reading PyTorch's files of tensors without PyTorch, and without running what they contain.

Since PyTorch 1.6, `torch.save` writes a zip archive, in which nothing is compressed:

    <root>/data.pkl     a pickle of the objects, where a storage is ("storage", type, key, ...)
    <root>/data/<key>   the bytes of each storage
    <root>/byteorder    "little" or "big"; little where it is not there

Before, and still with `_use_new_zipfile_serialization=False`, it wrote one pickle after another,

    0x1950a86a20f9469cfc6c, 1001, {the machine's sizes}, the objects, [key, ...],

and then for each key the number of elements in eight bytes, and the elements. On every machine both
are little-endian there, whatever the machine's sizes say. Files before 0.1.10 are tar archives.

A file is opened once, as a memory map. What its pickle may do: see `unpickler`.
"""

import mmap
import pathlib
import zipfile
import zlib
from typing import Any

import numpy as np

from scoresde.pretrained import file_kinds
from scoresde.pretrained.unpickler import Unpickler, check
from scoresde.registry import UsageError

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
"""What a file without a zip archive begins with."""


class ZipFile:
    """A zip archive; see `tensors.File`."""

    def __init__(self, path: pathlib.Path, content: mmap.mmap):
        self.path, self.size, self.content_of_file = path, len(content), content
        with zipfile.ZipFile(path) as archive:
            self.members = {member.filename: member for member in archive.infolist()}
        pickles = [name for name in self.members if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise UsageError(
                f"{path} is a zip archive, but not of PyTorch's tensors; it holds "
                f"{file_kinds.some(self.members)}. If one of those is the checkpoint, unpack it."
            )
        self.root = pickles[0].removesuffix("/data.pkl")
        self.whole: set[str] = set()
        order = f"{self.root}/byteorder"
        self.big_endian = order in self.members and bytes(self.member(order)) == b"big"

    def member(self, name: str) -> np.ndarray:
        """A member's bytes, which PyTorch never compresses: they are no more than the file has.

        Raises:
            UsageError: they are compressed, altered, or not there.
        """
        member, content = self.members.get(name), self.content_of_file
        if member is None:
            raise UsageError(f"{self.path} is damaged: it has no {name}.")
        if member.compress_type != zipfile.ZIP_STORED:
            raise UsageError(f"{self.path} is compressed, as PyTorch's files never are.")
        # A member begins with 30 bytes, of which the last four are the lengths of what follows.
        start = member.header_offset
        header = content[start : start + 30]
        start += 30 + sum(int.from_bytes(header[i : i + 2], "little") for i in (26, 28))
        if header[:4] != b"PK\3\4" or start + member.file_size > len(content):
            raise UsageError(f"{self.path} is damaged: {name} is not whole.")
        found = np.frombuffer(content, np.uint8, member.file_size, start)
        if name not in self.whole and zlib.crc32(found) != member.CRC:
            raise UsageError(f"{self.path} is damaged: {name} is not what was written.")
        self.whole.add(name)
        return found

    def content(self, key: str) -> np.ndarray:
        """The bytes of a storage, not copied."""
        return self.member(f"{self.root}/data/{key}")

    def objects(self) -> Any:
        """What was saved."""
        program = bytes(self.member(f"{self.root}/data.pkl"))
        check(program)
        return Unpickler(program, self.path, self).load()


class PlainFile:
    """A file without an archive: pickles one after another, and then storages.

    See `tensors.File`.
    """

    big_endian = False

    def __init__(self, path: pathlib.Path, content: mmap.mmap):
        self.path, self.size, self.content_of_file = path, len(content), content
        self.places: dict[str, tuple[int, int]] = {}

    def unpickler(self) -> Unpickler:
        """One for the next pickle, past which the file then is."""
        start = self.content_of_file.tell()
        try:
            stop = start + check(self.content_of_file)
        except ValueError as error:
            if self.content_of_file.tell() < self.size:
                raise
            raise UsageError(
                f"{self.path} is cut off after {self.size} bytes: {error}. {file_kinds.AGAIN}."
            ) from error
        self.content_of_file.seek(stop)
        return Unpickler(self.content_of_file[start:stop], self.path, self)

    def objects(self) -> Any:
        """What was saved, by `torch.save` or, of arrays or numbers, by `pickle.dump`."""
        first = self.unpickler().load()
        if first != MAGIC:
            return first
        version = self.unpickler().load()
        if version != VERSION:
            raise UsageError(f"{self.path} is of a version of torch.save that is not known.")
        self.unpickler().load()
        unpickler = self.unpickler()
        found = unpickler.load()
        keys = self.unpickler().load()
        position = self.content_of_file.tell()
        for key in keys:
            count = int.from_bytes(self.content_of_file[position : position + 8], "little")
            length = count * unpickler.dtypes[key].itemsize
            self.places[key] = (position + 8, length)
            position += 8 + length
        if position > self.size:
            raise UsageError(
                f"{self.path} is cut off: it has {self.size} of {position} bytes. "
                f"{file_kinds.AGAIN}."
            )
        return found

    def content(self, key: str) -> np.ndarray:
        """The bytes of a storage, not copied."""
        if key not in self.places:
            raise UsageError(f"{self.path} is damaged: it has no storage {key}.")
        start, length = self.places[key]
        return np.frombuffer(self.content_of_file, np.uint8, length, start)


def read(path: str | pathlib.Path) -> Any:
    """The objects in a file written by `torch.save`, with tensors that `numpy.asarray` reads.

    Args:
        path: a file of any version since 0.1.10, whatever its name ends in.

    Raises:
        UsageError: no such file, another format, or a file that would do more than hold tensors.
    """
    path = pathlib.Path(path)
    file_kinds.check(path)
    with open(path, "rb") as opened:
        content = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    if content[:2] != b"PK" and content[:1] != b"\x80":
        raise UsageError(f"{path} is no file of torch.save's: it begins with {content[:12]!r}.")
    kind = ZipFile if content[:2] == b"PK" else PlainFile
    return file_kinds.guarded(path, lambda: kind(path, content).objects())
