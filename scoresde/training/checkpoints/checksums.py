"""Sizes and checksums of a directory's files, to know damage from data when reading them back."""

import json
import pathlib
import zlib
from collections.abc import Iterable

FILE_NAME = "checksums.json"
_CHUNK = 1 << 24


def _crc32(path: pathlib.Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value


def _files(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def write(directory: pathlib.Path, folders: Iterable[str]) -> None:
    """Writes `checksums.json` over all files in some of a directory's folders."""
    table = {
        path.relative_to(directory).as_posix(): [path.stat().st_size, _crc32(path)]
        for folder in folders
        for path in _files(directory / folder)
    }
    (directory / FILE_NAME).write_text(json.dumps(table, indent=1), encoding="utf-8")


def verify(directory: pathlib.Path, folder: str | None = None) -> bool:
    """Compares the files of one folder, or of all, with what `write` saw.

    Returns:
        Whether there is a table of what it saw; without one, all is accepted.

    Raises:
        ValueError: a file is missing or differs; one line saying which and how.
    """
    try:
        table = json.loads((directory / FILE_NAME).read_text(encoding="utf-8"))
        table = {name: (int(size), int(crc32)) for name, (size, crc32) in table.items()}
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, AttributeError):  # damaged itself, perhaps into other JSON
        raise ValueError(f"{FILE_NAME} cannot be read") from None
    for name, (size, crc32) in table.items():
        path = directory / name
        if folder is not None and not name.startswith(f"{folder}/"):
            continue
        if not path.is_file():
            raise ValueError(f"{name} is missing")
        if path.stat().st_size != size:
            raise ValueError(f"{name} has {path.stat().st_size} bytes instead of {size}")
        if _crc32(path) != crc32:
            raise ValueError(f"{name} has changed since it was written")
    return True
