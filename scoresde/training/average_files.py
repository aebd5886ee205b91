"""Averages of the parameters in files of their own, beside the checkpoints.

    DIRECTORY/NAME/STEP.npz

holds the average NAME of the parameters at a step: the arrays by their paths, "params/in/kernel",
and the `length` of its profile. A file is whole or not there at all.
"""

import dataclasses
import os
import pathlib
import re
import zipfile
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import files
from scoresde.registry import UsageError
from scoresde.training.tree import by_name, differences

PyTree = Any
T = TypeVar("T")

_PREFIX = "params/"

# What NumPy and zipfile raise for files that are not as they were written, the last for a flag.
_OF_DAMAGE = OSError, ValueError, EOFError, KeyError, NotImplementedError


@dataclasses.dataclass(frozen=True)
class SavedAverage:
    """One file.

    Attributes:
        path: where it is.
        name: of the average.
        step: that it is of.
        length: of its profile, a share of the run up to that step.
    """

    path: pathlib.Path
    name: str
    step: int
    length: float

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters by their paths, as they are stored.

        Raises:
            UsageError: the file is damaged.
        """

        def read() -> dict[str, np.ndarray]:
            with np.load(self.path, allow_pickle=False) as file:
                names = [name for name in file if name.startswith(_PREFIX)]
                return {name.removeprefix(_PREFIX): file[name] for name in names}

        return _read(self.path, read)

    def params(self, abstract_params: PyTree) -> PyTree:
        """The parameters in float32, on the host.

        Args:
            abstract_params: the tree that they are of.

        Raises:
            UsageError: the file is damaged, or of another network.
        """
        found = {name: np.asarray(a, np.float32) for name, a in self.arrays().items()}
        if words := differences(abstract_params, found):
            raise UsageError(f"{self.path} is of another network than the config's: {words}.")
        leaves = [found[name] for name in by_name(abstract_params)]
        return jax.tree.unflatten(jax.tree.structure(abstract_params), leaves)


class AverageFiles:
    """The files below a directory; `snapshots/` and `averages/` of a run are such.

    Args:
        directory: where they are; made at the first `save`.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = pathlib.Path(directory)

    def names(self) -> list[str]:
        """The names of the averages that there are, sorted."""
        if not self.directory.is_dir():
            return []
        return sorted(path.name for path in self.directory.iterdir() if self.steps(path.name))

    def steps(self, name: str | None) -> list[int]:
        """The steps of which there is an average of this name, ascending."""
        folder = self.directory / str(name)
        if name is None or not folder.is_dir():
            return []
        found = (re.fullmatch(r"(0|[1-9]\d*)\.npz", path.name) for path in folder.iterdir())
        return sorted(int(match[1]) for match in found if match)

    def path(self, name: str, step: int) -> pathlib.Path:
        """Where the average is, or would be."""
        return self.directory / name / f"{step}.npz"

    def find(self, name: str, step: int | None = None) -> SavedAverage:
        """The average of this name at a step, by default the last that there is.

        Raises:
            UsageError: there is none, or its file is damaged.
        """
        steps = self.steps(name)
        if not steps:
            raise UsageError(f"There is no average {name!r} in {self.directory}.")
        step = steps[-1] if step is None else step
        if step not in steps:
            raise UsageError(
                f"There is no average {name!r} of step {step} in {self.directory}; there are those "
                f"of {', '.join(map(str, steps))}."
            )
        path = self.path(name, step)

        def read() -> float:
            with np.load(path, allow_pickle=False) as file:
                return float(file["length"])

        return SavedAverage(path, name, step, _read(path, read))

    def all(self) -> list[SavedAverage]:
        """All that there are, by step and then by name.

        Raises:
            UsageError: a damaged file.
        """
        found = [self.find(name, step) for name in self.names() for step in self.steps(name)]
        return sorted(found, key=lambda saved: (saved.step, saved.name))

    def save(
        self, name: str, step: int, params: PyTree, length: float, dtype: str = "float32"
    ) -> pathlib.Path:
        """Writes an average in place of the one that is there, if any.

        Args:
            name: of the average.
            step: that it is of.
            params: its arrays, a tree whole on this process.
            length: of its profile.
            dtype: "float32", or "float16" for half of the space; an array that float16 cannot hold
                stays as it is.
        """
        arrays = {
            _PREFIX + key: _stored(np.asarray(leaf), dtype) for key, leaf in by_name(params).items()
        }
        path = self.path(name, step)
        for unfinished in path.parent.glob(f".{path.name}.*"):  # of a process that was killed
            unfinished.unlink(missing_ok=True)
        with files.replacing(path) as file:
            np.savez(file, length=np.float64(length), **arrays)
        return path


def _stored(array: np.ndarray, dtype: str) -> np.ndarray:
    """The array in the type that it is stored in."""
    if dtype != "float16" or not jnp.issubdtype(array.dtype, jnp.floating):
        return array
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    return half if np.isfinite(half).all() else array


def _read(path: pathlib.Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except (*_OF_DAMAGE, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(f"{path} is damaged: {reason}; delete it.") from error
