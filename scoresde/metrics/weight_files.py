"""Published files of weights: where they are looked for, and how they come here."""

import dataclasses
import hashlib
import os
import pathlib
import sys
import urllib.request
from typing import Any

from scoresde import files
from scoresde.registry import UsageError, first_line

SECONDS = 30
"""How long a server may be silent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WeightFile:
    """A file of weights that others publish.

    Attributes:
        name: its name.
        url: where it is published.
        size: its number of bytes, about.
        variable: the environment variable that may say where it is.
        sha256: its hash, in hexadecimal digits; "" where that is not published.
        also: other names that it goes by.
    """

    name: str
    url: str
    size: int
    variable: str
    sha256: str = ""
    also: tuple[str, ...] = ()

    def find(self, path: str | os.PathLike | None = None) -> pathlib.Path:
        """Where the file is, downloaded if it has to be.

        Looked for at `path` alone where that is given, else where the environment variable says,
        else in `cache()`, in PyTorch's own cache, and at its URL.

        Raises:
            UsageError: it is not where it was said to be, or cannot be downloaded: which file to
                fetch, and where to put it.
        """
        if path is not None:
            return _there(path, "No file")
        if os.environ.get(self.variable):
            return _there(os.environ[self.variable], f"{self.variable} names no file:")
        folders = (cache(), _cache_of_torch())
        for place in (folder / name for folder in folders for name in (self.name, *self.also)):
            if place.is_file():
                return place
        return self._download(cache() / self.name)

    def _download(self, place: pathlib.Path) -> pathlib.Path:
        print(f"Downloading {self.url} ({self.size / 1e6:.0f} MB) to {place}", file=sys.stderr)
        digest, count = hashlib.sha256(), 0
        try:
            with (
                urllib.request.urlopen(self.url, timeout=SECONDS) as answer,
                files.replacing(place) as file,
            ):
                length = answer.headers.get("Content-Length")
                while block := answer.read(2**20):
                    digest.update(block)
                    count += file.write(block)
                if length is not None and count != int(length):
                    raise OSError(f"the connection ended after {count} of {length} bytes")
                if self.sha256 not in ("", digest.hexdigest()):
                    raise OSError(f"what came, {count} bytes, has another hash")
        except (OSError, ValueError) as error:  # urllib's errors are OSErrors
            raise UsageError(
                f"{self.url} cannot be downloaded ({first_line(error)}). Fetch it where there is a "
                f"network and put it at {place}, or say in {self.variable} where it is."
            ) from error
        return place

    def check_if_named_so(self, path: str | os.PathLike) -> None:
        """Checks a file whose name carries the first eight digits of the hash.

        Raises:
            UsageError: its content has another hash.
        """
        path = pathlib.Path(path)
        if self.sha256[:8] in path.name and path.is_file():
            found = sha256(path)
            if found != self.sha256:
                raise UsageError(
                    f"{path} is not what its name says: its SHA-256 is {found[:8]}..., not "
                    f"{self.sha256[:8]}.... Download it again from {self.url}, or rename it if its "
                    "weights are meant to be others."
                )


def cache() -> pathlib.Path:
    """The folder of files that were downloaded, below XDG_CACHE_HOME or `~/.cache`."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    home = pathlib.Path(folder) if os.path.isabs(folder) else pathlib.Path("~/.cache").expanduser()
    return home / "scoresde" / "weights"


def _cache_of_torch() -> pathlib.Path:
    """Where the programs that use these files through PyTorch have put them."""
    folder = os.environ.get("TORCH_HOME")
    home = pathlib.Path(folder) if folder else cache().parent.parent / "torch"
    return home / "hub" / "checkpoints"


def sha256(path: str | os.PathLike) -> str:
    """A file's hash, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def found(file: WeightFile, weights: Any) -> tuple[Any, dict[str, Any]]:
    """Weights that can be loaded, and what of them belongs in a record.

    Args:
        file: the published ones.
        weights: a path, arrays by name, or None for the published file.

    Returns:
        What was given, or the file's path; and {"weights": name, "sha256": hash, None of arrays,
        "precision": that of the network}.
    """
    record = {"weights": "arrays", "sha256": None, "precision": "float32"}
    if weights is None or isinstance(weights, str | os.PathLike):
        weights = file.find(weights)
        record |= {"weights": weights.name, "sha256": sha256(weights)}
    return weights, record


def _there(path: str | os.PathLike, missing: str) -> pathlib.Path:
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise UsageError(f"{missing} {path}.")
    return path
