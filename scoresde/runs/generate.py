"""Drawing many samples in batches over all devices."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from scoresde import training
from scoresde.denoiser import Condition, Denoiser, check_condition
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
        trajectory: None, or the decoded states, [records, n, ...], noise first.
    """

    images: np.ndarray
    nfe: np.ndarray
    unfinished: np.ndarray
    trajectory: np.ndarray | None


def to_host(x: jax.Array) -> np.ndarray:
    """A device array whole on the host of every process."""
    if jax.process_count() == 1:
        return np.asarray(x)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(x, tiled=True)


def condition_in_turn(experiment: Experiment, num: int) -> Condition:
    """A condition for `num` samples: the classes in turn, and else the rows of the data in order.

    None for a network that is told nothing of its samples.
    """
    if not experiment.condition:
        return None
    source = experiment.source
    split = source.splits["test" if "test" in source.splits else "train"]
    condition = dict(experiment.condition_of(split.batch(np.arange(num) % len(split))))
    if "label" in condition:
        condition["label"] = np.arange(num) % max(1, len(source.label_names))
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
    condition: Condition = None,
    sampling: Sampling | None = None,
    trajectory: int | None = None,
) -> Generated:
    """`num` samples; sample i depends on `key`, i and its own condition alone.

    Args:
        key: one key.
        experiment: whose codec decodes them.
        denoiser: the denoiser, on the process from the sampling's t_min.
        num: number of samples.
        mesh: the devices, over which each batch is split.
        batch_size: samples at a time, rounded up to a multiple of the devices.
        condition: arrays [num, ...] by name; `condition_in_turn` if None.
        sampling: the experiment's if None.
        trajectory: record every so many-th time of the sampler's grid.

    Raises:
        UsageError: a condition of another number of samples, or what the sampler refuses.
    """
    sampling = experiment.sampling if sampling is None else sampling
    codec = experiment.codec
    if condition is None:
        condition = condition_in_turn(experiment, num)
    condition = check_condition(condition, num, denoiser)
    batch_size = min(batch_size, num)
    batch_size = -(-batch_size // mesh.size) * mesh.size  # the last batch is filled up, then cut
    denoiser = training.replicate(mesh, denoiser)

    def put(tree: Any) -> Any:
        return jax.device_put(tree, training.batch_sharding(mesh))

    parts = []
    for first in range(0, num, batch_size):
        rows = np.minimum(np.arange(first, first + batch_size), num - 1)
        drawn = sampling.sample(
            put(sample_keys(key, batch_size, first)),
            denoiser,
            (batch_size, *codec.shape),
            condition=put(jax.tree.map(lambda array, rows=rows: array[rows], condition)),
            trajectory=trajectory,
        )
        part = codec.decode(drawn.x), drawn.nfe, codec.unfinished(drawn.x)
        if trajectory is not None:
            part = *part, codec.decode(drawn.trajectory)
        parts.append([to_host(array) for array in part])
    images, nfe, unfinished, *records = zip(*parts)
    return Generated(
        images=np.concatenate(images)[:num],
        nfe=np.concatenate(nfe)[:num],
        unfinished=np.concatenate(unfinished)[:num],
        trajectory=np.concatenate(records[0], axis=1)[:, :num] if records else None,
    )
