"""Stopping a run on SIGTERM or Ctrl-C at the end of a step instead of in its middle."""

import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils


class Interruption:
    """While entered, turns the first SIGTERM or SIGINT into a question the loop can ask.

    A second signal acts as it would have without this, so that a run that hangs can be killed.

    With several processes, each may be told to stop at another moment, and all must stop after
    the same step. JAX's own coordination does that for SIGTERM, so it is left to JAX there.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        # Python allows handlers in the main thread only.
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    def requested(self, step: int) -> bool:
        """Whether to stop now, after `step`. All processes must ask, at the same steps."""
        if jax.process_count() > 1 and multihost_utils.reached_preemption_sync_point(step):
            self.signal_name = signal.SIGTERM.name
        return self.signal_name is not None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.signal_name = signal.Signals(number).name
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
