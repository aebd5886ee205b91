"""Features of samples, extracted where they are drawn: images never pile up."""

from typing import Any

import jax
import numpy as np

from scoresde import jobs, quality
from scoresde.denoiser import Denoiser
from scoresde.experiment import Experiment
from scoresde.runs.generate import drawer, whole_batch


def sample_features(
    key: jax.Array,
    experiment: Experiment,
    denoiser: Denoiser,
    num: int,
    extractor: Any,
    *,
    mesh: jax.sharding.Mesh,
    batch_size: int = 64,
    shown: int = 0,
    parts: jobs.Parts | None = None,
    progress: jobs.Tell | None = None,
    about: str = "",
) -> tuple[quality.FeatureSet, dict[str, np.ndarray]]:
    """The features of `num` samples; sample i depends on `key` and i alone.

    Args:
        key: one key.
        experiment: whose sampler draws them, and whose codec decodes them.
        denoiser: the denoiser, on the process from the sampling's t_min.
        num: number of samples.
        extractor: of `scoresde.metrics.features`.
        mesh: the devices, over which each batch is split.
        batch_size: samples at a time.
        shown: how many of the first images are returned, too.
        parts: where finished batches are kept, and found again; None keeps nothing.
        progress: called with a `scoresde.jobs.Report` now and then.
        about: the text of the first report.

    Returns:
        The features, and "nfe" and "unfinished" [num], "shown" [shown, height, width, channels]
        and "seconds" [batches].
    """
    batch_size, bins = whole_batch(batch_size, num, mesh), experiment.codec.bins
    draw = drawer(key, experiment, denoiser, num, mesh=mesh, batch_size=batch_size)

    def compute(rows: np.ndarray, fetch: jobs.Fetch) -> dict[str, np.ndarray]:
        batch = draw(rows)
        images = batch.pop("images")
        batch["shown"] = images[: max(0, shown - int(rows[0]))]
        return fetch(batch | quality.look(extractor, images, bins))

    found = jobs.in_batches(
        compute,
        num=num,
        batch_size=batch_size,
        parts=parts,
        progress=progress,
        about=about,
    )
    features = quality.FeatureSet(
        name="the samples",
        features=found["features"],
        logits=found.get("logits"),
        protocol=extractor.protocol,
    )
    return features, found
