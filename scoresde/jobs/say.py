"""A line for the user, from the first of several processes."""

import sys
from typing import TextIO

import jax
import tqdm


def say(text: str, stream: TextIO | None = None) -> None:
    """Prints a line, above the progress bar if one is shown; on other processes than the first not.

    Args:
        text: the line.
        stream: where to; by default stderr.
    """
    if jax.process_index() == 0:
        stream = sys.stderr if stream is None else stream
        tqdm.tqdm.write(text, file=stream)
        stream.flush()
