"""Scalars for TensorBoard, written by the thread that logs them.

tensorboardX's own writer has a thread of its own, which dies of a full disk, and whoever gives it
more then waits forever.
"""

import os
import pathlib
import time

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog

# How long TensorBoard may wait for what is logged, in seconds.
_FLUSH_EVERY = 60.0


class TensorBoardFile:
    """A new file of events.

    Args:
        directory: of the file, created if needed.
        hide_from: TensorBoard hides what earlier files say of this step and later ones: an
            interrupted run wrote it after its checkpoint. None if there are none.

    Attributes:
        path: the directory.

    Raises:
        OSError: the disk is full, read-only or gone; also of its methods.
    """

    def __init__(self, directory: pathlib.Path, hide_from: int | None):
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory
        # A clock that is set back must not give two processes files of one name.
        self._writer = EventsWriter(str(directory / "events"), f".{os.getpid()}")
        self._flushed = time.monotonic()
        if hide_from is not None:
            start = SessionLog(status=SessionLog.START)
            self._writer.write_event(
                Event(wall_time=time.time(), step=hide_from, session_log=start)
            )

    def write(self, name: str, value: float, step: int) -> None:
        """Adds a scalar of a step."""
        scalar = summary.scalar(name, value)
        self._writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar))
        if time.monotonic() - self._flushed >= _FLUSH_EVERY:
            self.flush()

    def flush(self) -> None:
        """Returns when everything is written."""
        self._flushed = time.monotonic()
        self._writer.flush()

    def close(self) -> None:
        """Flushes and closes the file."""
        self._writer.close()
