"""The work directory of a run: one experiment's config, checkpoints, logs and results.

config.json       the resolved config, written before the first step
checkpoints/      what Orbax keeps
metrics.jsonl     the log, also in tensorboard/ and, at the end, loss.png
dequantizer/      the run of `scoresde train-dequantizer`
samples/          grids made during training, and the results of `scoresde sample`
likelihood/       the results of `scoresde likelihood`
"""

import os
import pathlib
from typing import Any

from scoresde import experiment, files, jobs
from scoresde.data.walk import is_hidden
from scoresde.registry import UsageError


def save_config(workdir: pathlib.Path, config: Any) -> None:
    """Records `config` in `workdir`, or checks that the run there is the same experiment.

    Raises:
        UsageError: the directory holds another experiment; nothing is written.
    """
    path = workdir / "config.json"
    if workdir.exists() and not workdir.is_dir():
        raise UsageError(f"{workdir} is a file. Give a --workdir that is new, or a directory.")
    if path.exists():
        if differ := experiment.training_differences(saved_config(workdir), config):
            more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
            raise UsageError(
                f"{workdir} holds another experiment: {differ[0]}{more}. Give another --workdir, "
                "or the config it has."
            )
    # A run killed while it wrote its config has left no more than half of that, a hidden file.
    elif workdir.exists() and holds_anything(workdir):
        raise UsageError(
            f"{workdir} is not empty and holds no experiment (no config.json). "
            "Give an empty or new --workdir."
        )
    try:
        files.write_json(path, experiment.as_json(config))
    except OSError as error:
        raise UsageError(f"{workdir} cannot be written to ({error}). Give another one.") from None


def holds_anything(folder: pathlib.Path) -> bool:
    """Whether anything is in a folder but for what file managers and notebooks leave behind."""
    return not all(is_hidden(path.name) for path in folder.iterdir())


def saved_config(workdir: pathlib.Path) -> Any:
    """The config of the experiment in `workdir`.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        return experiment.read_config(workdir / "config.json")
    except FileNotFoundError:
        raise UsageError(
            f"{workdir} holds no experiment (no config.json). Give the --workdir of a run."
        ) from None


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


def open_parts(directory: pathlib.Path, computed: dict[str, Any], overwrite: bool) -> jobs.Parts:
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
    return jobs.Parts(parts, computed, again=overwrite)
