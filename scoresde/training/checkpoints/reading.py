"""One checkpoint read back, where damage, or arrays of something else, is told in one line."""

import dataclasses
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from scoresde.registry import UsageError
from scoresde.training.checkpoints import checksums
from scoresde.training.checkpoints.items import FORMAT
from scoresde.training.tree import differences

PyTree = Any


class DamagedCheckpoint(UsageError):
    """A checkpoint that cannot be read back.

    Attributes:
        reason: why, in words of one line.
    """

    def __init__(self, message: str, reason: str):
        super().__init__(message)
        self.reason = reason


def steps_in(directory: pathlib.Path) -> list[int]:
    """The steps of the finished checkpoints in a directory, ascending.

    A checkpoint is a folder whose name is its step and nothing else: an unfinished one has another
    name, and so has a copy that somebody put beside them (`backup_20240501`).
    """
    if not directory.is_dir():
        return []
    names = (path.name for path in directory.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]*", name))


@dataclasses.dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint that is there.

    Attributes:
        directory: of the checkpoint; its name is the step.
    """

    directory: pathlib.Path

    def extra(self) -> dict[str, Any]:
        """What the caller saved beside the state.

        Raises:
            UsageError: it is damaged, or of another format.
        """
        return self._content()["extra"]

    def skipped(self) -> list[int]:
        """The state's count of skipped steps, of which the first versions know nothing.

        Raises:
            UsageError: as of `extra`.
        """
        return self._content().get("skipped", [0, 0])

    def damage(self) -> str | None:
        """What is damaged, in words of one line; None if every file is as it was written.

        A checkpoint without checksums, of the first version, is read to know; which takes all
        processes, so that of several none is asked.
        """
        try:
            if checksums.verify(self.directory) or jax.process_count() > 1:
                return None
            self._content()
            for item in self.directory.iterdir():
                if item.is_dir() and item.name != "extra":
                    self.arrays(item.name, None)
        except PermissionError:
            pass  # it may be whole: not for us to see
        except DamagedCheckpoint as error:
            return error.reason
        except UsageError:
            pass  # whole, and of another format
        except (ValueError, OSError) as error:
            return _one_line(error)
        return None

    def _content(self) -> dict[str, Any]:
        def read() -> dict[str, Any]:
            checksums.verify(self.directory, "extra")
            return ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(self.directory / "extra")

        content = self._read(read)
        if content["format"] != FORMAT:
            raise UsageError(
                f"The checkpoint {self.directory} has format {content['format']}, and this "
                f"scoresde reads format {FORMAT}; use the version that wrote it."
            )
        return content

    def arrays(self, item: str, wanted: PyTree | None) -> PyTree:
        """The arrays of an item.

        Args:
            item: one that `to_items` gives.
            wanted: arrays or `jax.ShapeDtypeStruct`s to check against and whose shardings, if they
                have any, say where to put the result; None for whatever is there.

        Raises:
            UsageError: the item is damaged, or holds other arrays.
        """

        def read_metadata() -> PyTree:
            checksums.verify(self.directory, item)
            folder = epath.Path(self.directory / item)
            return ocp.StandardCheckpointHandler().metadata(folder).tree

        def read_values() -> PyTree:
            reader = ocp.Checkpointer(ocp.StandardCheckpointHandler())
            return reader.restore(self.directory / item, args=ocp.args.StandardRestore(abstract))

        found = self._read(read_metadata)
        if wanted is not None and (words := differences(wanted, found)):
            raise UsageError(
                f"The checkpoint {self.directory} is of another model or optimizer: in {item}, "
                f"{words}. Use the configuration it was trained with, or another directory."
            )
        anywhere = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        abstract = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape,
                leaf.dtype,
                sharding=anywhere if wanted is None else leaf.sharding or anywhere,
            ),
            found if wanted is None else wanted,
        )
        return self._read(read_values)

    def _read(self, read: Callable[[], Any]) -> Any:
        """`read()`, with any failure as a UsageError and a way out."""
        try:
            return read()
        except Exception as error:  # Orbax and TensorStore raise errors of many types
            step = int(self.directory.name)
            earlier = [other for other in steps_in(self.directory.parent) if other < step]
            remedy = (
                f"the one before is of step {earlier[-1]}: name that step, or let `scoresde train` "
                "without --strict go on from it"
                if earlier
                else "delete it and train again, for there is no earlier one"
            )
            reason = _one_line(error)
            raise DamagedCheckpoint(
                f"The checkpoint {self.directory} is damaged: {reason}; {remedy}.", reason
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
