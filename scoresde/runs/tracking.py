"""Weights & Biases, where it is installed and a config asks for it."""

import contextlib
import importlib.util
import pathlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from scoresde import files, jobs
from scoresde.errors import first_line
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
    a second time, at their own place, with the same values. What cannot be logged any more, once a
    run is begun, costs a warning and not the run: `metrics.jsonl` has it all.

    Args:
        project: its name; None for no tracking.
        workdir: of the run, which names it.
        config: what is shown of it.

    Yields:
        A `function(step, scalars)`; None where nothing is tracked.

    Raises:
        UsageError: the run there cannot be begun; on all processes.
    """
    if project is None:
        yield None
        return
    begun: list[_Tracked] = []
    jobs.by_first(lambda: begun.append(_Tracked(_begin(project, workdir, config))))
    if not begun:  # another process's
        yield None
        return
    (tracker,) = begun
    try:
        yield tracker
    except BaseException:
        tracker.finish(1)
        raise
    tracker.finish(0)


def _begin(project: str, workdir: pathlib.Path, config: Any) -> Any:
    """The run there."""
    record = workdir / FILE_NAME
    if not record.exists():
        files.write_json(record, {"id": secrets.token_hex(4), "project": project})
    if not isinstance(number := files.read_json(record).get("id"), str):
        raise UsageError(f"{record} names no run of Weights & Biases: restore it, or delete it.")
    try:
        import wandb

        run = wandb.init(
            project=project,
            id=number,
            resume="allow",
            name=workdir.resolve().name,
            dir=str(workdir),
            config=as_json(config),
        )
        # An axis of our own: W&B's must rise, and leaves out what comes again.
        run.define_metric("*", step_metric="step")
    except Exception as error:  # of W&B and the network
        raise UsageError(
            f"Weights & Biases cannot begin the run ({_reason(error)}): `wandb login`, or set "
            "WANDB_MODE=offline, or leave config.training.wandb out."
        ) from error
    return run


class _Tracked:
    """A run there, as long as it can be told anything."""

    def __init__(self, run: Any):
        self._run: Any | None = run

    def __call__(self, step: int, scalars: Mapping[str, float]) -> None:
        """Logs the scalars of a step."""
        self._tell(lambda run: run.log({"step": step, **scalars}))

    def finish(self, exit_code: int) -> None:
        """Ends it."""
        self._tell(lambda run: run.finish(exit_code=exit_code))

    def _tell(self, what: Callable[[Any], Any]) -> None:
        try:
            if self._run is not None:
                what(self._run)
        except Exception as error:  # of W&B and the network
            self._run = None
            jobs.say(
                f"Warning: Weights & Biases takes nothing more ({_reason(error)}); the run goes on "
                "without it."
            )


def _reason(error: Exception) -> str:
    return first_line(error).rstrip(".") or type(error).__name__
