"""A trace of some steps of a run by JAX's profiler, for XProf and Perfetto."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax

from scoresde.errors import first_line
from scoresde.registry import UsageError
from scoresde.training.progress import TrainingProgress

DIRECTORY = "profile"
"""Where in a work directory traces are."""


def parse_profile(text: str, num_steps: int) -> tuple[int, int]:
    """The steps (start, stop) of "START:STOP".

    Raises:
        UsageError: no such range, or one beyond `num_steps`.
    """
    start, colon, stop = text.partition(":")
    digits = all(part.isascii() and part.isdecimal() for part in (start, stop))
    if not colon or not digits or int(start) >= int(stop):
        raise UsageError(
            f"--profile is START:STOP with 0 <= START < STOP, as 100:110, and not {text!r}."
        )
    if int(stop) > num_steps:
        raise UsageError(f"--profile={text} ends beyond the run, which has {num_steps} steps.")
    return int(start), int(stop)


class Profile:
    """Traces the dispatches from the first that begins at step `start` or later to that at `stop`.

    Every process writes what its own devices did; the device is waited for at both ends. A trace
    that cannot be written costs a warning, and not the run.

    Args:
        steps: (start, stop): the first step traced is start + 1, the last one stop.
        workdir: of the run; traces go to its folder profile/, of several processes to a folder
            process_I for each: JAX takes two of one host and second for one, and refuses it.
        progress: is told where the trace is.
        step: the step that the run starts at.
    """

    def __init__(
        self, steps: tuple[int, int], workdir: pathlib.Path, progress: TrainingProgress, step: int
    ):
        self._start, self._stop = steps
        several = jax.process_count() > 1
        own = f"process_{jax.process_index()}" if several else ""
        self._shown, self._directory = workdir / DIRECTORY, workdir / DIRECTORY / own
        self._progress = progress
        self._tracing, self._done = False, step >= self._stop
        if self._done:
            progress.message(
                f"Steps {self._start}:{self._stop} are not profiled: the run goes on at {step}."
            )

    def __enter__(self) -> "Profile":
        return self

    def __exit__(self, *_: object) -> None:
        if self._tracing:  # the run was stopped within
            self._end()

    def before(self, step: int, state: Any) -> None:
        """Begins the trace, if it is due, before the dispatch from `step` on."""
        if not self._tracing and not self._done and step >= self._start:
            jax.block_until_ready(state)
            self._tracing = self._works(
                lambda: jax.profiler.start_trace(str(self._directory), create_perfetto_trace=True)
            )
            self._done = not self._tracing

    def after(self, step: int, results: Any) -> None:
        """Ends the trace, if it is due, after the dispatch that reaches `step`."""
        if self._tracing and step >= self._stop:
            jax.block_until_ready(results)
            self._end()

    def _end(self):
        self._tracing, self._done = False, True
        if self._works(jax.profiler.stop_trace):
            self._progress.message(f"The profile is in {self._shown}.")

    def _works(self, action: Callable[[], Any]) -> bool:
        """Whether it does; if not, says so."""
        try:
            action()
        except Exception as error:  # of XLA's profiler and of the disk
            reason = first_line(error).rstrip(".") or type(error).__name__
            self._progress.message(
                f"Warning: no profile was written to {self._directory} ({reason}); the run goes on."
            )
            return False
        return True
