"""The picture files below a folder, and what else is there and why it is not read."""

import collections
import os
import pathlib
from collections.abc import Collection, Iterator

from scoresde.registry import UsageError

# What file managers, archivers and storage servers make; folders of them hold previews and deleted
# files, often pictures. What begins with a dot is hidden anyway.
_OF_SYSTEMS = {
    "__macosx",
    "__pycache__",
    "@eadir",
    "@tmp",
    "@recycle",
    "@recently-snapshot",
    "@__thumb",
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
}

# Pillow's formats whose files it cannot read by itself, or that hold no pictures.
_NO_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}

_SHOWN = 3  # examples of each reason


def picture_suffixes() -> set[str]:
    """The endings, in lower case, of the files that Pillow reads, as ".png" is."""
    from PIL import Image

    Image.init()
    formats = set(Image.OPEN) - _NO_PICTURES
    known = Image.registered_extensions().items()
    return {".mpo"} | {suffix for suffix, name in known if name in formats}  # MPO opens as JPEG


class NotRead:
    """What lies below a folder and is not read: by the reason, how many and a few of them."""

    def __init__(self):
        self._count = collections.Counter()
        self._examples = collections.defaultdict(list)

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Notes `count` files or folders, of which `example` says where they are."""
        self._count[reason] += count
        if len(self._examples[reason]) < _SHOWN and example not in self._examples[reason]:
            self._examples[reason].append(example)

    def __bool__(self) -> bool:
        return bool(self._count)

    def __str__(self) -> str:
        """For instance "2 links to nothing (a.png, b.png), 1 hidden (.DS_Store)"."""
        parts = []
        for reason, count in self._count.items():
            examples = self._examples[reason]
            more = ", ..." if count > len(examples) == _SHOWN else ""
            parts.append(f"{count} {reason} ({', '.join(examples)}{more})")
        return ", ".join(parts)


def pictures(root: pathlib.Path, not_read: NotRead) -> list[pathlib.PurePath]:
    """The picture files below `root`, relative to it, ordered by path.

    Links to files and folders are followed, but not to a folder that the link itself lies in. What
    is hidden, by its name, is left out.

    Args:
        root: a folder.
        not_read: takes note of what else is there.

    Raises:
        UsageError: a folder that cannot be opened.
    """
    found = _below(root, pathlib.PurePath(), {_identity(root)}, picture_suffixes(), not_read)
    return sorted(found, key=lambda path: path.parts)


def is_hidden(name: str) -> bool:
    """Whether an entry of a folder is hidden, or something that a system leaves in folders."""
    return name.startswith(".") or name.casefold() in _OF_SYSTEMS


def _below(
    root: pathlib.Path,
    place: pathlib.PurePath,
    above: Collection[tuple[int, int]],
    suffixes: Collection[str],
    not_read: NotRead,
) -> Iterator[pathlib.PurePath]:
    """The pictures in root / place; `above` identifies that folder and those around it."""
    empty = True
    for name, kind in _entries(root / place):
        path = place / name
        if is_hidden(name):
            count = 1 if kind != "folder" else _count(root / path)
            not_read.add("hidden", str(path), count)
        elif kind == "folder":
            identity = _identity(root / path)
            if identity in above:
                not_read.add("linked to a folder around it", str(path))
                continue
            for picture in _below(root, path, {*above, identity}, suffixes, not_read):
                empty = False
                yield picture
        elif kind != "file":
            not_read.add(kind, str(path))
        elif path.suffix.lower() not in suffixes:
            not_read.add("of no picture format by the ending", str(path))
        else:
            empty = False
            yield path
    if empty and place.parts:
        not_read.add("without a picture", f"{place}/")


def _entries(folder):
    """(name, "file", "folder" or what else it is) of all that is in a folder, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, _kind(entry)) for entry in entries)
    except OSError as error:
        raise UsageError(
            f"The folder {str(folder)!r} cannot be opened ({error.strerror}): make it readable, or "
            "give it a name that begins with a dot, to be left out."
        ) from error


def _kind(entry):
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # a link that ends at itself
        pass
    return "linked to nothing" if entry.is_symlink() else "no plain files"


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _count(folder):
    """The number of files below a folder, links not followed; at least one."""
    return max(1, sum(len(files) for _, _, files in os.walk(folder)))
