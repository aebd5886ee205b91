"""Results on their way: one file per finished batch, beside the protocol they were made with."""

import json
import pathlib
import shutil
from typing import Any

import numpy as np

from scoresde import files
from scoresde.jobs.agreement import by_first
from scoresde.registry import UsageError


def _difference(found: Any, wanted: Any, path: str = "") -> str:
    """In words, the first thing in which two JSON values differ; "" if they are equal."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            words = _difference(found.get(key), wanted.get(key), f"{path}.{key}" if path else key)
            if words:
                return words
        return ""
    return "" if found == wanted else f"{path} is {found!r} there, {wanted!r} here"


class Parts:
    """The finished batches of a job, in a directory of their own.

    A batch is written whole or not at all, so that a run killed at any time leaves its finished
    batches, and the next run with the same protocol computes the others only.

    Args:
        directory: made at the first `save`.
        protocol: everything that the numbers depend on, as JSON can hold it.
        again: forget what is there.

    Raises:
        UsageError: the parts there were made with another protocol.
    """

    def __init__(self, directory: pathlib.Path, protocol: dict[str, Any], again: bool = False):
        self.directory = directory
        self._protocol = json.loads(json.dumps(protocol))
        if again:
            by_first(self.remove)
        if self._record.exists():
            found = files.read_json(self._record)
            if words := _difference(found, self._protocol):
                raise UsageError(
                    f"{directory.parent} holds unfinished results of another protocol: {words}. "
                    "Finish them with their own options, give another --name, or --overwrite."
                )

    @property
    def _record(self) -> pathlib.Path:
        return self.directory / "protocol.json"

    def _file(self, first: int) -> pathlib.Path:
        return self.directory / f"{first:08d}.npz"

    def __contains__(self, first: int) -> bool:
        """Whether the batch whose first row is number `first` is finished."""
        return self._file(first).exists()

    def load(self, first: int) -> dict[str, np.ndarray] | None:
        """The batch whose first row is number `first`, or None if it is not finished."""
        if first not in self:
            return None
        with np.load(self._file(first)) as saved:
            return dict(saved)

    def begin(self) -> None:
        """Writes the protocol, which the first `save` does as well."""
        if not self._record.exists():
            files.write_json(self._record, self._protocol)

    def save(self, first: int, **arrays: np.ndarray) -> None:
        """Keeps a finished batch; returns when it is on disk."""
        self.begin()
        files.write_arrays(self._file(first), **arrays)

    def remove(self) -> None:
        """Deletes the directory."""
        if self.directory.exists():
            shutil.rmtree(self.directory)
