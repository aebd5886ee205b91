"""Snapshots of power-function averages during a run, and averages of other lengths of them.

Two averages that a run follows, saved now and then, span all others in between, and some beyond:
`scoresde.training.power_profile` says by which weights.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from scoresde.registry import UsageError
from scoresde.training.average_files import AverageFiles, SavedAverage
from scoresde.training.averages import Average
from scoresde.training.power_average import PowerEMA
from scoresde.training.power_profile import check_length, reconstruction
from scoresde.training.state import TrainState

PyTree = Any

DTYPES = ("float32", "float16")
"""What snapshots may be stored in."""


def followed(averages: Mapping[str, Average]) -> dict[str, PowerEMA]:
    """Those of the averages of which snapshots are taken."""
    return {name: each for name, each in averages.items() if isinstance(each, PowerEMA)}


def take_snapshots(
    snapshots: AverageFiles, averages: Mapping[str, Average], dtype: str = "float32"
) -> Callable[[int, TrainState], None]:
    """A callback of `scoresde.training.train` that saves the power-function averages of a state.

    A snapshot that is there already is left as it is: a run that was killed and goes on from an
    earlier checkpoint comes to the same.

    Args:
        snapshots: where they go.
        averages: those that the state holds.
        dtype: of `DTYPES`; see `AverageFiles.save`.
    """

    def take(step: int, state: TrainState) -> None:
        for name, average in followed(averages).items():
            params = state.averages[name]
            if jax.process_count() > 1 and not _everywhere(params):  # a work of all processes
                params = multihost_utils.process_allgather(params, tiled=True)
            if jax.process_index() == 0 and not snapshots.path(name, step).exists():
                snapshots.save(name, step, jax.device_get(params), average.length, dtype)

    return take


def _everywhere(tree: PyTree) -> bool:
    """Whether each process has the arrays whole."""
    return all(leaf.is_fully_replicated for leaf in jax.tree.leaves(tree))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reconstructed:
    """An average put together of snapshots.

    Attributes:
        params: its arrays by their paths, float32.
        step: that it is of.
        length: of the profile that was wanted.
        snapshots: of which it is.
        weights: of each of them, float64.
        error: how far its profile is from the wanted one, relative: the root of the integral of
            the square.
    """

    params: dict[str, np.ndarray]
    step: int
    length: float
    snapshots: list[SavedAverage]
    weights: np.ndarray
    error: float


def reconstruct(snapshots: AverageFiles, length: float, step: int | None = None) -> Reconstructed:
    """The average of any length at a step, of all snapshots up to it.

    Args:
        snapshots: of a run.
        length: of the profile, see `PowerEMA`.
        step: up to the last snapshot's; that one if None.

    Raises:
        UsageError: no such profile, no snapshots, a step before the first or after the last of
            them, or one that is damaged, not finite or unlike the others.
    """
    check_length(length)
    saved = snapshots.all()
    if not saved:
        raise UsageError(
            f"There are no snapshots in {snapshots.directory}, of which an average is put "
            "together. A run takes them that follows power-function averages, as config.training."
            'averages={"short": {"name": "power", "length": 0.05}, "long": {"name": "power", '
            '"length": 0.1}}, with config.training.snapshot_every.'
        )
    first, last = saved[0].step, saved[-1].step
    step = last if step is None else step
    if not first <= step <= last:
        raise UsageError(
            f"The snapshots in {snapshots.directory} are of steps {first} to {last}, and an "
            f"average of step {step} needs some up to it and none that is later is taken."
            if step < first
            else f"Step {step} lies beyond the last snapshot in {snapshots.directory}, of step "
            f"{last}: what came after it is not known."
        )
    # Two of one length at one step are the same.
    chosen = list({(s.step, s.length): s for s in saved if s.step <= step}.values())
    steps, lengths = np.array([s.step for s in chosen]), np.array([s.length for s in chosen])
    weights, error = reconstruction(steps, lengths, step, length)
    total: dict[str, np.ndarray] = {}
    for weight, snapshot in zip(weights, chosen):
        arrays = snapshot.arrays()
        shapes = {name: value.shape for name, value in arrays.items()}
        if total and shapes != {name: value.shape for name, value in total.items()}:
            raise UsageError(f"{snapshot.path} holds other arrays than {chosen[0].path}.")
        for name, value in arrays.items():
            if not np.isfinite(value).all():
                raise UsageError(
                    f"{snapshot.path} is not finite, in {name}: delete it to do without it."
                )
            part = weight * value.astype(np.float64)
            total[name] = total[name] + part if name in total else part
    return Reconstructed(
        params={name: value.astype(np.float32) for name, value in total.items()},
        step=step,
        length=length,
        snapshots=chosen,
        weights=weights,
        error=error,
    )
