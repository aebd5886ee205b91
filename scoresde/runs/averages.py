"""Averages of a run's parameters that are put together after it, of snapshots it took."""

import dataclasses
import pathlib
import warnings

import jax

from scoresde import training
from scoresde.registry import UsageError, UsageWarning
from scoresde.runs.trained_model import TrainedModel
from scoresde.training.power_profile import check_length
from scoresde.training.tree import differences

# The relative error of a profile beyond which it is said.
_FAR = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeAverage:
    """An average that was put together.

    Attributes:
        name: of the average.
        path: where it is.
        step: that it is of.
        length: of its profile.
        snapshots: of how many it is.
        error: how far its profile is from the wanted one, relative.
    """

    name: str
    path: pathlib.Path
    step: int
    length: float
    snapshots: int
    error: float


def make_average(
    run: TrainedModel,
    length: float,
    *,
    step: int | None = None,
    name: str | None = None,
    overwrite: bool = False,
) -> MadeAverage:
    """Writes the power-function average of any length to `workdir/averages/NAME/STEP.npz`.

    It is an average like those of training: `run.denoiser(average=name)`.

    Args:
        run: the run.
        length: the standard deviation of the profile as a share of the run, see
            `scoresde.training.PowerEMA`.
        step: that it is of; the last snapshot's if None.
        name: of the average; power_0_1 for the length 0.1 if None.
        overwrite: replace the average of that name and step.

    Raises:
        UsageError: a name that is taken or is none, and as `scoresde.training.reconstruct`.
    """
    check_length(length)
    name = f"power_{length:g}".replace(".", "_").replace("-", "_") if name is None else name
    if not (isinstance(name, str) and name.isascii() and name.isidentifier()):
        raise UsageError(
            f"An average cannot be called {name!r}: make its name of letters, digits and _."
        )
    if name in run.experiment.averages or name == "raw":
        raise UsageError(f"{name!r} is what training calls one of its averages: give another name.")
    snapshots = training.AverageFiles(run.workdir / "snapshots")
    made = training.reconstruct(snapshots, length, step)
    _check_taken(run, name, made, overwrite)
    if words := differences(run.experiment.abstract_params, made.params):
        raise UsageError(
            f"The snapshots in {snapshots.directory} are of another network than the config's: "
            f"{words}."
        )
    _warn_if_far(made)
    path = run.made_averages.path(name, made.step)
    if jax.process_index() == 0:
        run.made_averages.save(name, made.step, made.params, made.length)
    return MadeAverage(
        name=name,
        path=path,
        step=made.step,
        length=made.length,
        snapshots=len(made.snapshots),
        error=made.error,
    )


def _check_taken(run, name, made, overwrite):
    """Refuses to replace an average, and averages of two lengths under one name."""
    steps = run.made_averages.steps(name)
    if made.step in steps and not overwrite:
        raise UsageError(
            f"There is an average {name!r} of step {made.step} in {run.made_averages.directory}: "
            "give another --name, or --overwrite."
        )
    for step in steps:
        theirs = run.made_averages.find(name, step).length
        if step != made.step and theirs != made.length:
            raise UsageError(
                f"The average {name!r} of step {step} has the length {theirs:g}, and this one "
                f"{made.length:g}: give another --name."
            )


def _warn_if_far(made):
    if made.error <= _FAR:
        return
    tracked = sorted({snapshot.length for snapshot in made.snapshots})
    gap = min(abs(made.length - length) for length in tracked)
    last = max(snapshot.step for snapshot in made.snapshots)
    behind = f", and of step {last} or earlier" * (last < made.step)
    warnings.warn(
        f"The profile of the average is off by {made.error:.0%}: it is of {len(made.snapshots)} "
        f"snapshots, of lengths {', '.join(f'{length:g}' for length in tracked)} ({gap:.2g} from "
        f"{made.length:g}){behind}. More of them, by config.training.snapshot_every, bring it "
        "nearer.",
        UsageWarning,
        stacklevel=3,
    )
