"""What finished steps say: whether they were sound, and what is logged of them."""

import collections
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from scoresde.registry import UsageError
from scoresde.training.clock import StepClock
from scoresde.training.log import LogWriter
from scoresde.training.part_means import scalars
from scoresde.training.progress import TrainingProgress

# How many calls of the train step may run ahead of the one that is looked at, and for how long.
_MOST_AHEAD, _SECONDS_AHEAD = 4, 0.5


@dataclasses.dataclass(frozen=True)
class Dispatch:
    """A call of the train step that the device may still be busy with."""

    step: int  # after it
    images: int
    metrics: dict[str, jax.Array]


@dataclasses.dataclass(kw_only=True)
class Journal:
    """Takes note of finished dispatches."""

    writer: LogWriter
    progress: TrainingProgress
    clock: StepClock
    log_every: int
    learning_rate: Callable[[int], Any] | None
    max_skipped: int
    skipped_in_a_row: int
    remedy: str
    in_flight: collections.deque[Dispatch] = dataclasses.field(default_factory=collections.deque)

    def follow(self, dispatch: Dispatch) -> None:
        """Takes note of the dispatches before this one, once the device has enough to do.

        Looking at several in a row leaves the caches to the calls of the train step meanwhile, and
        what keeps the host for a moment does not keep the device.
        """
        self.in_flight.append(dispatch)
        if len(self.in_flight) > self._most_ahead(dispatch):
            self._look_at(len(self.in_flight) - 1)

    def catch_up(self) -> None:
        """Waits for all dispatches and takes note of them."""
        self._look_at(len(self.in_flight))

    def _most_ahead(self, dispatch: Dispatch) -> int:
        # What is dispatched has to end before a signal is heeded, so that it must not take long.
        # Several processes measure different speeds, but all must raise after the same dispatch.
        speed, _ = self.progress.speeds
        if speed is None or jax.process_count() > 1:
            return 1
        seconds = len(dispatch.metrics["loss"]) / speed
        return max(1, min(_MOST_AHEAD, int(_SECONDS_AHEAD / seconds)))

    def _look_at(self, count: int) -> None:
        """Takes note of so many dispatches, whose time is known at their end alone."""
        dispatches = [self.in_flight.popleft() for _ in range(count)]
        losses = [self._note(dispatch) for dispatch in dispatches]
        if dispatches:
            images = sum(dispatch.images for dispatch in dispatches)
            self.progress.update(dispatches[-1].step, images, losses[-1])

    def _note(self, dispatch: Dispatch) -> float:
        """Waits for a dispatch, checks it, logs the steps that are due; the last loss."""
        # Every array that is looked at is copied from the device, so most times only these are.
        losses = np.asarray(dispatch.metrics["loss"])
        norms = np.asarray(dispatch.metrics.get("grad_norm", np.float32(0)))
        sound = np.isfinite(losses) & np.isfinite(norms)
        first = dispatch.step - len(losses) + 1
        due = dispatch.step // self.log_every > (first - 1) // self.log_every
        if due or not sound.all():
            self._look_closer(first, jax.device_get(dispatch.metrics), sound)
        else:
            self.skipped_in_a_row = 0
        return losses[-1]

    def _look_closer(self, first: int, metrics: Mapping[str, Any], sound: np.ndarray) -> None:
        """Counts the skipped of the steps from `first` on, and logs those that are due."""
        last = None
        for i, step in enumerate(range(first, first + len(sound))):
            row = scalars(metrics, i)
            if sound[i]:
                self.skipped_in_a_row = 0
            else:
                self._skip(step, row)
                row = {name: value for name, value in row.items() if np.isfinite(value)}
            if step % self.log_every == 0:
                if self.learning_rate is not None and sound[i]:  # else nothing was updated
                    made = step - 1 - int(row.get("skipped", 0))
                    row["learning_rate"] = self.learning_rate(made)
                self.writer.write(step, row)
                last = step, metrics["loss"][i]
        if last:
            self.progress.log(*last)
            self.writer.write_timing(last[0], self.clock.scalars(*self.progress.speeds))

    def _skip(self, step: int, row: Mapping[str, Any]) -> None:
        """Says that a step changed nothing, or raises UsageError if too many in a row did not."""
        name = "gradient" if np.isfinite(row["loss"]) else "loss"
        before, self.skipped_in_a_row = self.skipped_in_a_row, self.skipped_in_a_row + 1
        if before >= self.max_skipped or "skipped" not in row:  # that of a step of one's own
            too = f", nor at the {before} before it, which were skipped" if before else ""
            raise UsageError(f"The {name} is not finite at step {step}{too}. {self.remedy}")
        self.progress.message(
            f"Skipped step {step}, whose {name} is not finite: {row['skipped']:.0f} in all, "
            f"{before + 1} in a row of at most {self.max_skipped}."
        )
