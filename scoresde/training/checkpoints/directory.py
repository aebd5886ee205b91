"""The checkpoints of a run: directories named by their steps.

A directory gets its name only once it is complete, and loses it before it is deleted, so a run that
is killed while saving leaves whole checkpoints. One that is damaged later is moved to `damaged/`.
"""

import contextlib
import os
import pathlib
import shutil
from typing import Any

import jax
import orbax.checkpoint as ocp

from scoresde import files
from scoresde.registry import UsageError, shown
from scoresde.training.averages import listed
from scoresde.training.checkpoints import checksums, retention
from scoresde.training.checkpoints.items import (
    FORMAT,
    averages_in,
    from_items,
    params_item,
    to_items,
)
from scoresde.training.checkpoints.reading import SavedCheckpoint, steps_in
from scoresde.training.checkpoints.writing import writing
from scoresde.training.packing import unpacked
from scoresde.training.state import TrainState

PyTree = Any

DAMAGED = "damaged"
"""Where in the directory damaged checkpoints are kept."""

# Where old checkpoints go that need not be kept; it is emptied before the next is written.
_DELETED = ".deleted"

# How long a checkpoint may take to be written, in seconds.
_TIMEOUT = 7 * 24 * 3600


class Checkpoints:
    """The checkpoints of one run. Use it as a context manager, or call `close`.

    Reading needs no exclusive access: sampling from a run that is still training is safe.

    Args:
        directory: where they are; created at the first `save`.
        keep: how many of the latest are kept; None keeps all.
        keep_every: in steps; the first checkpoint at or after each multiple is kept for good.

    Raises:
        UsageError: `keep` or `keep_every` is less than 1, or `directory` is none.
    """

    def __init__(
        self,
        directory: str | pathlib.Path,
        *,
        keep: int | None = 2,
        keep_every: int | None = None,
    ):
        if (keep is not None and keep < 1) or (keep_every is not None and keep_every < 1):
            raise UsageError(
                f"keep ({keep}) and keep_every ({keep_every}) must be positive, or None."
            )
        if not isinstance(directory, str | os.PathLike):
            raise UsageError(f"Checkpoints are in a directory, not in {shown(directory)}.")
        self.directory = pathlib.Path(directory).absolute()
        self._policy = retention.policy(keep, keep_every)
        self._writer: ocp.CheckpointManager | None = None
        self._saving: tuple[int, list[str]] = (-1, [])

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        # What ended the block is what the user is told, not what became of a checkpoint in it.
        with contextlib.suppress(UsageError) if kind else contextlib.nullcontext():
            self.close()

    def all_steps(self) -> list[int]:
        """The steps of the finished checkpoints, ascending."""
        return steps_in(self.directory)

    def latest_step(self) -> int | None:
        """The last of `all_steps`, or None without any."""
        return max(self.all_steps(), default=None)

    def averages(self, step: int | None = None) -> list[str]:
        """The names of the averages that the checkpoint of a step, by default the latest, holds.

        Raises:
            UsageError: there is no such checkpoint.
        """
        return averages_in(self._find(step).directory)

    def check_average(self, average: str | None, step: int | None = None) -> None:
        """Checks that a checkpoint holds an average; None, the last iterate, is in all of them.

        Raises:
            UsageError: there is no such checkpoint, or average in it.
        """
        known = self.averages(step)
        if average is not None and average not in known:
            raise UsageError(
                f"The checkpoint {self._find(step).directory} holds no average {average!r}; "
                f"it holds {listed(known)}, and the raw parameters (None)."
            )

    def save(self, step: int, state: TrainState, extra: dict[str, Any] | None = None) -> None:
        """Copies the state to the host, then writes it in the background.

        Every process of a multi-process run must call it. An error in the background is raised by
        the next `save`, `wait` or `close`.

        Args:
            step: the checkpoint's name, normally `int(state.step)`.
            state: the state; it may be donated as soon as this returns.
            extra: anything JSON can hold, for instance the position of the data iterator.

        Raises:
            UsageError: there is a checkpoint of this step already; or this one, or the one before,
                cannot be written.
        """
        if self._writer is None:
            with writing(self.directory):
                self._writer = self._open_writer()
        self.wait()  # the background thread reads self._saving
        self._empty()
        items = to_items(unpacked(state))
        items = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        content = {"format": FORMAT, "skipped": state.skipped.tolist(), "extra": extra or {}}
        items["extra"] = ocp.args.JsonSave(content)
        self._saving = step, list(items)
        with writing(self.directory / str(step)):
            try:
                # `force` leaves the decision whether to save to the caller.
                self._writer.save(step, args=ocp.args.Composite(**items), force=True)
            except ocp.checkpoint_manager.StepAlreadyExistsError:
                raise UsageError(
                    f"There is a checkpoint {self.directory / str(step)} already, and checkpoints "
                    "are never overwritten; delete it, or use another directory."
                ) from None

    def _empty(self) -> None:
        """Deletes what has no name any more."""
        if jax.process_index() == 0:
            shutil.rmtree(self.directory / _DELETED, ignore_errors=True)

    def _open_writer(self) -> ocp.CheckpointManager:
        return ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=self._policy,
                cleanup_tmp_directories=True,  # what a killed run left unfinished
                todelete_subdir=_DELETED,
                async_options=ocp.AsyncOptions(
                    post_finalization_callback=self._write_checksums,
                    # Orbax looks at the clock of the day, which may be put right by hours.
                    timeout_secs=_TIMEOUT,
                    # A disk that takes no directory says so at once, not when others wait in vain.
                    create_directories_asynchronously=False,
                ),
            ),
        )

    def restore(
        self, abstract_state: TrainState, step: int | None = None
    ) -> tuple[TrainState, dict[str, Any]]:
        """The state of a step, and the `extra` saved with it.

        Args:
            abstract_state: a state of the same structure, of arrays or `jax.ShapeDtypeStruct`s;
                each array is restored onto its sharding, whatever devices it was saved from.
            step: which checkpoint; by default the latest.

        Raises:
            UsageError: there is no such checkpoint, it is damaged, or it holds other averages or
                arrays.
        """
        saved = self._find(step)
        extra = saved.extra()
        if averages_in(saved.directory) != sorted(abstract_state.averages):
            raise UsageError(
                f"The checkpoint {saved.directory} holds the averages "
                f"{listed(averages_in(saved.directory))}, and this run names "
                f"{listed(abstract_state.averages)}. An average is taken from the first step on: "
                "name those that it holds, or start anew in another directory."
            )
        items = {name: saved.arrays(name, tree) for name, tree in to_items(abstract_state).items()}
        return from_items(items, abstract_state, saved.skipped()), extra

    def restore_params(
        self,
        step: int | None = None,
        *,
        average: str | None = "ema",
        abstract_params: PyTree | None = None,
    ) -> PyTree:
        """The parameters alone; nothing else is read from disk.

        Args:
            step: which checkpoint; by default the latest.
            average: which average of them, by name (see `averages`); None for the last iterate.
            abstract_params: arrays or `jax.ShapeDtypeStruct`s to check against, whose shardings,
                if they have any, say where to put the result. Without it, the result is what was
                saved, in nested dictionaries and lists, on this process's first device.

        Raises:
            UsageError: there is no such checkpoint or average, it is damaged, or it holds other
                arrays.
        """
        saved = self._find(step)
        saved.extra()  # refuses another format
        self.check_average(average, step)
        return saved.arrays(params_item(average), abstract_params)

    def set_aside_damaged(self) -> list[str]:
        """Moves the latest checkpoints to `damaged/` if they are, down to one that is whole.

        One process of a run may call it, before any of them looks for the latest checkpoint.

        Returns:
            A line for each that was moved. Without any that is whole, nothing is moved.

        Raises:
            UsageError: a damaged one cannot be moved.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.all_steps()):
            if (words := SavedCheckpoint(self.directory / str(step)).damage()) is None:
                break
            damaged[step] = words
        else:
            return []
        lines = []
        for found, words in damaged.items():
            place = self.directory / DAMAGED / str(found)
            copy = 1
            while place.exists():
                copy += 1
                place = place.with_name(f"{found}_{copy}")
            with files.writing(place):
                place.parent.mkdir(exist_ok=True)
                os.rename(self.directory / str(found), place)
            lines.append(
                f"The checkpoint {self.directory / str(found)} is damaged ({words}): it is now "
                f"{place}, and the run goes on from step {step}."
            )
        return lines

    def check(self) -> None:
        """Raises the error of a `save` that has failed in the background, if it is known by now."""
        if self._writer is not None and not self._writer.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Returns when everything saved is on disk."""
        if self._writer is not None:
            with writing(self.directory / str(self._saving[0])):
                self._writer.wait_until_finished()

    def close(self) -> None:
        """Waits, then frees the background threads."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with writing(self.directory / str(self._saving[0])):
                writer.close()
            self._empty()

    def _write_checksums(self) -> None:
        """Runs in the background when all files are written, before the directory is renamed."""
        step, items = self._saving
        if jax.process_index() == 0:
            for unfinished in self.directory.glob(f"{step}.*"):
                checksums.write(unfinished, items)

    def find(self, step: int | None = None) -> int:
        """`step`, which must have a checkpoint; the latest one's if None.

        Raises:
            UsageError: there is no such checkpoint, or none at all.
        """
        steps = self.all_steps()
        if not steps:
            raise UsageError(
                f"There is no checkpoint in {self.directory}; train first, or name another "
                "directory."
            )
        step = steps[-1] if step is None else step
        if step not in steps:
            raise UsageError(
                f"There is no checkpoint {self.directory / str(step)}; "
                f"the steps there: {', '.join(map(str, steps))}."
            )
        return step

    def _find(self, step: int | None) -> SavedCheckpoint:
        """The checkpoint to read, once it is known to exist."""
        return SavedCheckpoint(self.directory / str(self.find(step)))
