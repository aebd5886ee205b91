"""One run at a time in a directory."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from scoresde.registry import UsageError


@contextlib.contextmanager
def exclusive(directory: pathlib.Path) -> Iterator[None]:
    """Holds a directory until the block, or the process, ends; nothing is written.

    One that is not there yet is held by nobody. On a file system without locks it holds nothing.

    Raises:
        UsageError: somebody holds it.
    """
    if not directory.is_dir():
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise UsageError(
            f"Another process is training in {directory.parent}. Wait for it or stop it, or give "
            "another workdir."
        ) from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(handle)
