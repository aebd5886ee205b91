"""Weights & Biases, where it is installed and a config asks for it."""

import contextlib
import importlib.util
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

import jax

from scoresde import files
from scoresde.experiment import as_json
from scoresde.registry import UsageError
from scoresde.training import Tracker

FILE_NAME = "wandb.json"
"""Where in a work directory the run there is named."""


def check_installed(project: str | None) -> None:
    """Raises UsageError if a project is given and the package wandb is not installed."""
    if project is not None and importlib.util.find_spec("wandb") is None:
        raise UsageError(
            f"config.training.wandb={project!r} needs Weights & Biases: pip install wandb, or set "
            "it to None."
        )


@contextlib.contextmanager
def tracked(project: str | None, workdir: pathlib.Path, config: Any) -> Iterator[Tracker | None]:
    """Opens the run of `workdir` in a project, again if it was there before; the first process's.

    Steps that are computed a second time, after the checkpoint that a run goes on from, are logged
    a second time, at their own place, with the same values.

    Args:
        project: its name; None for no tracking.
        workdir: of the run, which names it.
        config: what is shown of it.

    Yields:
        A `function(step, scalars)`; None where nothing is tracked.
    """
    if project is None or jax.process_index() != 0:
        yield None
        return
    import wandb

    record = workdir / FILE_NAME
    if not record.exists():
        files.write_json(record, {"id": secrets.token_hex(4), "project": project})
    run = wandb.init(
        project=project,
        id=files.read_json(record)["id"],
        resume="allow",
        name=workdir.resolve().name,
        dir=str(workdir),
        config=as_json(config),
    )
    # An axis of our own: W&B's must rise, and leaves out what comes again.
    run.define_metric("*", step_metric="step")
    try:
        yield lambda step, scalars: run.log({"step": step, **scalars})
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish()
