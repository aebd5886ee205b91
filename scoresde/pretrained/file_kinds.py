"""What a file is that is no checkpoint: pages, pointers and archives saved in a checkpoint's place.

Each is called what it is, in one line that says what to do.
"""

import pathlib
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from scoresde.registry import UsageError

T = TypeVar("T")

PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"7z\xbc\xaf": "7-zip",
    b"Rar!": "rar",
}
"""What compressed files begin with."""

PICTURES = {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF"}
"""What pictures begin with."""

AGAIN = "Download it again"


def check(path: pathlib.Path) -> None:
    """Refuses files that can't be any project's checkpoint, saying what they are.

    Raises:
        UsageError: there is no such file, or what it is instead of a checkpoint.
    """
    if (path / "data.pkl").is_file():
        raise UsageError(
            f"{path} is an archive of PyTorch's that was unpacked. Give the archive itself."
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file of weights.")
    if not path.is_file():
        raise UsageError(f"No file {path}.")
    with open(path, "rb") as file:
        head = file.read(4096)
    what = guarded(path, lambda: _what(path, head))
    if what:
        raise UsageError(f"{path} {what}.")


def _what(path: pathlib.Path, head: bytes) -> str:
    """What the file is and what to do; nothing if it may be a checkpoint."""
    size = path.stat().st_size
    if not size:
        return f"is empty. {AGAIN}"
    if not head.strip(b"\0"):
        return f"begins with zeros alone, as a download that never came. {AGAIN}"
    if is_safetensors(head):  # whose first bytes may be any number
        return ""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # text in UTF-16
        head = head[: len(head) // 2 * 2].decode("utf-16", "replace").encode()
    if b"\0" not in head:
        what = _what_text(head, size)
        if what:
            return what
    for start, name in PACKED.items():
        if head.startswith(start):
            return f"is compressed ({name}). Unpack it first"
    for start, name in PICTURES.items():
        if head.startswith(start):
            return f"is a picture ({name}), not a file of weights"
    if head.startswith(b"\x89HDF"):
        return "is an HDF5 file, which Keras and h5py write; it is not read here"
    if head[257:262] == b"ustar" or tarfile.is_tarfile(path):
        return _what_tar(path)
    if head.startswith(b"PK\3\4") and not zipfile.is_zipfile(path):
        return f"is cut off after {size} bytes: the end of its zip archive is not there. {AGAIN}"
    return ""


def is_safetensors(head: bytes) -> bool:
    """Whether a file begins as .safetensors: a header's length in eight bytes, and JSON."""
    return head[5:8] == b"\0\0\0" and head[8:9] == b"{"


def _what_text(head: bytes, size: int) -> str:
    """The same of a file without a zero byte."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"version https://git-lfs"):
        length = re.search(rb"size (\d+)", head)
        of = f" of {length[1].decode()} bytes" if length else ""
        return f"is a git-LFS pointer, not the file{of} that it stands for. Run `git lfs pull`"
    if size < 4096 and b"annex/objects/" in head:
        return "is a git-annex pointer, not the file that it stands for. Run `git annex get`"
    if text.startswith(b"<"):
        if re.search(rb"<(!doctype html|html|head|body|script)\b", text, re.IGNORECASE):
            title = re.search(rb"<title[^>]*>([^<]*)", text, re.IGNORECASE)
            named = f" ({_plain(title[1])})" if title and title[1].strip() else ""
            return f"is an HTML page{named} saved in the checkpoint's place. {AGAIN}, as a file"
        code = re.search(rb"<Code>([^<]*)", text)
        return f"is a server's answer in XML{f' ({_plain(code[1])})' if code else ''}. {AGAIN}"
    if not head.startswith(b"PK") and _is_words(text):
        return f"is text, which begins with {_plain(text)!r}. {AGAIN}, as a file"
    return ""


def _is_words(text: bytes) -> bool:
    """Whether bytes are text in UTF-8, of which the last character may be cut."""
    try:
        words = text.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(text) - 3:
            return False
        words = text[: error.start].decode("utf-8")
    return all(c.isprintable() or c.isspace() for c in words)


def _what_tar(path: pathlib.Path) -> str:
    """What a tar archive is."""
    try:
        with tarfile.open(path) as archive:
            names = archive.getnames()
    except (tarfile.TarError, OSError, EOFError):
        return f"is a tar archive, but not a whole one. {AGAIN}"
    if {"pickle", "storages", "tensors"} <= set(names):
        return (
            "is of PyTorch before 0.1.10, a tar archive. Load it in PyTorch and save its state dict"
        )
    return f"is a tar archive; it holds {some(names)}. Unpack it first"


def _plain(text: bytes) -> str:
    """The start of a text, as one line of what can be printed."""
    words = " ".join(text.decode("utf-8", "replace").split())
    return "".join(c if c.isprintable() else "?" for c in words)[:60]


def some(names: Iterable[Any], most: int = 6) -> str:
    """The first of some names, and how many more there are."""
    names = [str(name) for name in names]
    shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in names[:most]]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(shown) or "nothing") + more


def guarded(path: pathlib.Path, read: Callable[[], T]) -> T:
    """What `read` gives; whatever a damaged file makes it raise is a UsageError of one line.

    Raises:
        UsageError: the file is cut off, damaged, or what `read` says.
    """
    try:
        return read()
    except UsageError:
        raise
    except MemoryError as error:
        raise UsageError(f"{path} does not fit into memory.") from error
    except Exception as error:  # a damaged file can raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{path} is damaged: {reason[:200]}.") from error
