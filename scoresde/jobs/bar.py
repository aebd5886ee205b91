"""The progress bar of every command."""

import os
from typing import Any, TextIO

import tqdm


def bar(stream: TextIO, **options: Any) -> tqdm.tqdm:
    """A bar as wide as its terminal.

    Args:
        stream: a terminal.
        **options: of `tqdm.tqdm`.
    """
    try:
        known = os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):
        known = False
    # One that does not know its size, as of `script` or a scheduler, would show nothing.
    width = {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 20}
    return tqdm.tqdm(file=stream, **width, **options)
