"""Drawing many samples in batches over all devices."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import jobs, training
from scoresde.condition import Condition, check_condition
from scoresde.data.in_order import check_positive
from scoresde.denoiser import Denoiser
from scoresde.experiment import Experiment, Sampling
from scoresde.keys import sample_keys

# Frames of an animation of noise that becomes images, about.
FRAMES = 60


class Generated(NamedTuple):
    """Samples on the host.

    Attributes:
        images: what the codec decodes: uint8 levels, [n, height, width, channels], of images.
        nfe: network evaluations a sample, [n].
        unfinished: which samples are not finite, bool [n].
        trajectory: None, or the decoded states, [records, n, ...], noise first; of as many samples
            as were `recorded`.
        trajectory_unfinished: None, or for which of them a state is not finite, bool [n].
        seconds: that the batches took, compilation included.
    """

    images: np.ndarray
    nfe: np.ndarray
    unfinished: np.ndarray
    trajectory: np.ndarray | None
    trajectory_unfinished: np.ndarray | None
    seconds: float


def condition_in_turn(experiment: Experiment, num: int, first: int = 0) -> Condition:
    """A condition for `num` samples: the classes in turn, and else the rows of the data in order.

    What is made of an image, as a small version of it, is of the images of the data in order.

    None for a network that is told nothing of its samples.

    Args:
        experiment: whose network and data they are.
        num: number of samples.
        first: the number of the first of them.
    """
    if not experiment.condition and experiment.degradation is None:
        return None
    source, rows = experiment.source, np.arange(first, first + num)
    split = source.splits["test" if "test" in source.splits else "train"]
    keys = sample_keys(jax.random.key(experiment.seed), num, first)
    condition = dict(experiment.condition_of(split.batch(rows % len(split)), keys))
    if "label" in condition:
        condition["label"] = rows % max(1, len(source.label_names))
    return condition


def recording(sampling: Sampling) -> tuple[Sampling, int]:
    """With steps to record where an adaptive solver has none, and a stride for about 60 records."""
    steps, grid = sampling.steps, sampling.grid
    if steps is None and grid is None:
        return dataclasses.replace(sampling, steps=FRAMES), 1
    if steps is None:
        steps = len(grid) - 1 if isinstance(grid, tuple) else FRAMES
    return sampling, max(1, steps // FRAMES)


def generate(
    key: jax.Array,
    experiment: Experiment,
    denoiser: Denoiser,
    num: int,
    *,
    mesh: jax.sharding.Mesh,
    batch_size: int = 64,
    condition: Condition | Callable[[np.ndarray], Condition] = None,
    sampling: Sampling | None = None,
    trajectory: int | None = None,
    recorded: int | None = None,
    parts: jobs.Parts | None = None,
    progress: jobs.Tell | None = None,
    about: str = "",
) -> Generated:
    """`num` samples; sample i depends on `key`, i and its own condition alone.

    The device holds one batch of them at a time.

    Args:
        key: one key.
        experiment: whose codec decodes them.
        denoiser: the denoiser, on the process from the sampling's t_min.
        num: number of samples.
        mesh: the devices, over which each batch is split.
        batch_size: samples at a time; see `whole_batch`.
        condition: arrays [num, ...] by name, or a function from the numbers of some samples to
            their condition; `condition_in_turn` if None.
        sampling: the experiment's if None.
        trajectory: record every so many-th time of the sampler's grid.
        recorded: of how many samples, the first ones; all if None.
        parts: where finished batches are kept, and found again; None keeps nothing.
        progress: called with a `scoresde.jobs.Report` now and then; `scoresde.jobs.Progress()`
            shows it on stderr.
        about: the text of the first report.

    Raises:
        UsageError: no samples, a condition of another number of them, or what the sampler refuses.
    """
    check_positive(num=num, batch_size=batch_size)
    batch_size = whole_batch(batch_size, num, mesh)
    draw = drawer(
        key,
        experiment,
        denoiser,
        num,
        mesh=mesh,
        batch_size=batch_size,
        condition=condition,
        sampling=sampling,
        trajectory=trajectory,
        recorded=recorded,
    )
    drawn = jobs.in_batches(
        lambda rows, fetch: fetch(draw(rows)),
        num=num,
        batch_size=batch_size,
        parts=parts,
        progress=progress,
        about=about,
        note=_note(),
    )
    states = drawn.get("trajectory")
    return Generated(
        images=drawn["images"],
        nfe=drawn["nfe"],
        unfinished=drawn["unfinished"],
        trajectory=None if states is None else np.moveaxis(states, 1, 0),
        trajectory_unfinished=drawn.get("trajectory_unfinished"),
        seconds=float(drawn["seconds"].sum()),
    )


def drawer(
    key: jax.Array,
    experiment: Experiment,
    denoiser: Denoiser,
    num: int,
    *,
    mesh: jax.sharding.Mesh,
    batch_size: int,
    condition: Condition | Callable[[np.ndarray], Condition] = None,
    sampling: Sampling | None = None,
    trajectory: int | None = None,
    recorded: int | None = None,
) -> Callable[[np.ndarray], dict[str, jax.Array]]:
    """What draws the samples of these numbers: (rows [batch_size]) -> a batch on the devices.

    The batch has "images", "nfe" and "unfinished" and, with a trajectory, "trajectory" [n, records,
    ...] and "trajectory_unfinished" of as many as are recorded; see `Generated`. Arguments are as
    of `generate`; batch_size is a multiple of the devices.
    """
    sampling = experiment.sampling if sampling is None else sampling
    codec = experiment.codec
    recorded = num if recorded is None else min(recorded, num)
    if condition is None:
        condition = functools.partial(_in_turn, experiment)
    elif not callable(condition):
        given = check_condition(condition, num, denoiser)

        def condition(rows):
            return jax.tree.map(lambda array: array[rows], given)

    sampling.sampler.check(denoiser)  # before anything is said to begin
    denoiser = training.replicate(mesh, denoiser)

    def put(tree: Any) -> Any:
        return training.split_batch(mesh, tree)

    def draw(rows: np.ndarray) -> dict[str, jax.Array]:
        drawn = sampling.sample(
            put(sample_keys(key, batch_size, rows[0])),
            denoiser,
            (batch_size, *codec.shape),
            condition=put(condition(np.minimum(rows, num - 1))),  # the last batch is filled up
            trajectory=trajectory,
        )
        batch = {
            "images": codec.decode(drawn.x),
            "nfe": drawn.nfe,
            "unfinished": codec.unfinished(drawn.x),
        }
        if trajectory is not None:
            states = jnp.moveaxis(drawn.trajectory, 1, 0)[: max(0, recorded - int(rows[0]))]
            batch["trajectory"] = codec.decode(states)
            batch["trajectory_unfinished"] = codec.unfinished(states).any(axis=1)
        return batch

    return draw


def whole_batch(batch_size: int, num: int, mesh: jax.sharding.Mesh) -> int:
    """`batch_size`, but no more than `num`, rounded up to a multiple of the devices."""
    return -(-min(batch_size, num) // mesh.size) * mesh.size


def _in_turn(experiment: Experiment, rows: np.ndarray) -> Condition:
    return condition_in_turn(experiment, len(rows), int(rows[0]))


def _note() -> Callable[[dict[str, np.ndarray]], str]:
    """What the batches so far say, in words, called with each of them in turn."""
    nfe, unfinished = [], []

    def note(batch: dict[str, np.ndarray]) -> str:
        nfe.append(batch["nfe"].mean())
        unfinished.append(int(batch["unfinished"].sum()))
        bad = f", {sum(unfinished)} not finite" if any(unfinished) else ""
        return f"NFE {np.mean(nfe):.0f}{bad}"

    return note
