"""The directory of a job's results, which is written once all of them are there."""

import os
import pathlib
from typing import Any

from scoresde.data.walk import is_hidden
from scoresde.jobs.agreement import together
from scoresde.jobs.parts import Parts
from scoresde.registry import UsageError


def holds_anything(folder: pathlib.Path) -> bool:
    """Whether a folder holds more than what file managers and notebooks leave behind."""
    return not all(is_hidden(path.name) for path in folder.iterdir())


def result_directory(path: pathlib.Path, overwrite: bool) -> pathlib.Path:
    """`path`, which must not exist with anything in it unless `overwrite`.

    Raises:
        UsageError: there are results already, or none can be written there.
    """
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"{there} is no directory that can be written to. Give another --name.")
    if there == path and holds_anything(path) and not overwrite:
        raise UsageError(
            f"{path} holds results already. Give another --name, or --overwrite to replace them."
        )
    return path


def open_parts(directory: pathlib.Path, computed: dict[str, Any], overwrite: bool) -> Parts:
    """The finished batches of the results in `directory`, if they are of the job described.

    They are there until all that is made of them is written.

    Args:
        directory: of the results.
        computed: everything that the numbers depend on.
        overwrite: start over, whatever is there.

    Raises:
        UsageError: there are results already, of this job or of another one.
    """
    parts = directory / "parts"
    if overwrite or not (parts / "protocol.json").exists():
        result_directory(directory, overwrite)
    opened = Parts(parts, computed, again=overwrite)
    together()  # nobody writes here while another looks
    return opened
