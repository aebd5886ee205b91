"""Pictures come last, and cost no numbers."""

import contextlib
import pathlib
from collections.abc import Iterator

from scoresde.errors import first_line
from scoresde.jobs.say import say


@contextlib.contextmanager
def picture(path: pathlib.Path) -> Iterator[None]:
    """A picture that is drawn in the block; if that fails, a line says so and the job goes on.

        with picture(path):
            save_grid(path, images)

    Args:
        path: where it would be, for the line.
    """
    try:
        yield
    except Exception as error:  # drawing and saving raise errors of many types
        reason = first_line(error).rstrip(".") or type(error).__name__
        say(f"Warning: {path} was not drawn ({reason}); no numbers are missing.")
