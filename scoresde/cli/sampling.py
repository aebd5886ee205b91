"""Drawing many samples in batches over all devices, for the commands that need them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import build, samplers, training
from scoresde.keys import sample_keys


def to_host(x: jax.Array) -> np.ndarray:
    """A device array whole on the host of every process."""
    if jax.process_count() == 1:
        return np.asarray(x)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(x, tiled=True)


def class_labels(experiment: build.Experiment, num: int) -> np.ndarray | None:
    """The classes in turn, [num], for a network that is fed them; None for one that is not."""
    if not experiment.settings["data"]["labels"]:
        return None
    return np.arange(num) % max(1, len(experiment.source.label_names))


class Drawn(NamedTuple):
    """Samples on the host.

    Attributes:
        images: uint8 levels, [n, height, width, channels].
        nfe: network evaluations a sample, [n].
        trajectory: None, or uint8 levels [records, n, height, width, channels].
    """

    images: np.ndarray
    nfe: np.ndarray
    trajectory: np.ndarray | None


def draw(
    experiment: build.Experiment,
    params: Any,
    key: jax.Array,
    num: int,
    *,
    mesh: jax.sharding.Mesh,
    batch_size: int = 64,
    labels: np.ndarray | None = None,
    trajectory: int | None = None,
) -> Drawn:
    """`num` samples with the experiment's sampler; sample i depends on `key` and i alone.

    Args:
        experiment: whose sampler, process and data range are used.
        params: the network's parameters.
        key: one key.
        num: number of samples.
        mesh: the devices, over which each batch is split.
        batch_size: samples at a time, rounded up to a multiple of the devices.
        labels: None or [num].
        trajectory: record every so many-th time of the sampler's grid.
    """
    denoiser = experiment.denoiser(
        training.replicate(mesh, params), t_min=experiment.sampling_t_min
    )
    batch_size = min(batch_size, num)
    batch_size = -(-batch_size // mesh.size) * mesh.size  # the last batch is filled up, then cut
    parts = []
    for first in range(0, num, batch_size):
        keys = sample_keys(key, batch_size, first)
        keys = jax.device_put(keys, training.batch_sharding(mesh))
        rows = None
        if labels is not None:
            rows = np.resize(labels[first : first + batch_size], batch_size)
            rows = [jax.device_put(jnp.asarray(rows), training.batch_sharding(mesh))]
        samples = samplers.sample(
            keys,
            experiment.sampler,
            denoiser,
            (batch_size, *experiment.image_shape),
            condition=rows and {"label": rows[0]},
            trajectory=trajectory,
            **experiment.sampling,
        )
        record = samples.trajectory
        parts.append(
            (
                to_host(experiment.codec.decode(samples.x)),
                to_host(samples.nfe),
                None if record is None else to_host(experiment.codec.decode(record)),
            )
        )
    images, nfe, records = zip(*parts)
    return Drawn(
        images=np.concatenate(images)[:num],
        nfe=np.concatenate(nfe)[:num],
        trajectory=None if records[0] is None else np.concatenate(records, axis=1)[:, :num],
    )
