"""Ending a command at once on Ctrl-C or SIGTERM, with a line that says what is kept.

A program that the device is busy with cannot be called off, and neither can its compilation: Python
would heed the signal when they end, and wait for them once more when it exits. Results are whole
files or not there at all, so that nothing is lost if the process ends in the middle of them.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

# How long what goes on may take to clean up, in seconds.
_GRACE = 0.5

STATUS = 130
"""The exit status of a command that was stopped."""


@contextlib.contextmanager
def stopping(words: Callable[[], str | None]) -> Iterator[None]:
    """Within it SIGINT and SIGTERM end the process; outside the main thread nothing changes.

    A second signal acts as it would have without this.

    Args:
        words: what is kept and how to go on; None where another process says it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _Stop(words)
    try:
        with stop:
            yield
    except KeyboardInterrupt:
        if stop.name is None:  # of somebody else
            raise
        stop.end()


class _Stop:
    """The handlers, and a thread that watches while the main one is not in Python."""

    def __init__(self, words):
        self._words, self.name = words, None
        self._ended = threading.Lock()
        self._previous = {}

    def __enter__(self):
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._wakeup = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, daemon=True).start()

    def __exit__(self, *_):
        self._restore()
        signal.set_wakeup_fd(self._wakeup)
        os.write(self._write, b"\0")  # the watcher closes the pipe

    def _restore(self):
        while self._previous:
            signal.signal(*self._previous.popitem())

    def _handle(self, number, _):
        self.name = signal.Signals(number).name
        self._restore()
        raise KeyboardInterrupt

    def _watch(self):
        # The interpreter's own handler writes the signal's number, whatever the main thread does.
        while (number := os.read(self._read, 1)[0]) not in (0, signal.SIGINT, signal.SIGTERM):
            pass
        if number:
            self.name = signal.Signals(number).name
            threading.Event().wait(_GRACE)
            self.end()
        os.close(self._read)
        os.close(self._write)

    def end(self):
        """Says it, and ends the process without waiting for anything."""
        self._ended.acquire()  # never released: who comes second waits for the end
        if (words := self._words()) is not None:
            newline = "\n" if sys.stderr.isatty() else ""  # below the bar
            os.write(2, f"{newline}scoresde: stopped by {self.name}. {words}\n".encode())
        os._exit(STATUS)
