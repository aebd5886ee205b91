"""What is said of a checkpoint that cannot be written: one line, where Orbax has thousands."""

import contextlib
import functools
import logging
import pathlib
import sys
import warnings
from collections.abc import Iterator
from typing import Any

from scoresde import files
from scoresde.registry import UsageError


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """A block that writes the checkpoint `path`, or waits for it.

    Raises:
        UsageError: in place of any other error.
    """
    quieten()
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # Orbax and TensorStore raise errors of many types
        reason = " ".join(str(error).split())
        # TensorStore names what it did, and to which of its files, before it says why not.
        reason = reason.split(" [os_error_code")[0].rpartition(": ")[2][:160].rstrip(".")
        raise UsageError(files.cannot_write(path, reason or type(error).__name__)) from error


@functools.cache
def quieten() -> None:
    """From now on, the threads that write checkpoints do not print their errors, each a page.

    One of them is raised by whoever waits for the checkpoint, and that is enough.
    """
    for name in "absl", "asyncio":
        logging.getLogger(name).addFilter(_is_printed)
    for name in "_?async_serialize", "cancellable", "_?serialize_":
        warnings.filterwarnings("ignore", f"coroutine '{name}.* was never awaited", RuntimeWarning)
    sys.unraisablehook = functools.partial(_unraisable, sys.unraisablehook)


def _is_printed(record: logging.LogRecord) -> bool:
    of_orbax = "orbax" in record.pathname or "orbax" in record.getMessage()
    return record.levelno < logging.ERROR or not of_orbax


def _unraisable(before: Any, unraisable: Any) -> None:
    """TensorStore's news of a file, when nobody waits for it any more, is left out."""
    if str(unraisable.exc_value) != "Event loop is closed":
        before(unraisable)
