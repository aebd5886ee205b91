"""Features of many images, in batches over all devices; images never pile up."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import jobs, training
from scoresde.quality.feature_set import FeatureSet

Extractor = Callable[[jax.Array], dict[str, jax.Array]]
"""A feature extractor, see `scoresde.metrics.features`."""


def to_8_bits(images: jax.Array, bins: int) -> jax.Array:
    """Levels 0 .. bins - 1 as 0 .. 255, rounded: what is shown, saved, and seen by extractors."""
    if bins == 256:
        return images
    return jnp.round(jnp.asarray(images, jnp.float32) * (255 / (bins - 1))).astype(jnp.uint8)


def look(extractor: Extractor, images: jax.Array, bins: int) -> dict[str, jax.Array]:
    """Features, and logits where there are any, of a batch on the devices, in float32."""
    seen = extractor(to_8_bits(images, bins))
    names = [name for name in ("features", "logits") if seen.get(name) is not None]
    return {name: seen[name].astype(jnp.float32) for name in names}


def extract(
    read: Callable[[np.ndarray], np.ndarray],
    num: int,
    extractor: Any,
    *,
    name: str,
    mesh: jax.sharding.Mesh,
    bins: int = 256,
    batch_size: int = 64,
    parts: jobs.Parts | None = None,
    progress: jobs.Tell | None = None,
    about: str = "",
) -> FeatureSet:
    """The features of images that are there.

    Args:
        read: the numbers of some images [batch] -> their levels, uint8 [batch, height, width, c].
        num: how many images there are.
        extractor: of `scoresde.metrics.features`.
        name: of the images, for messages and reports.
        mesh: the devices, over which each batch is split.
        bins: number of gray levels.
        batch_size: images at a time.
        parts: where finished batches are kept, and found again; None keeps nothing.
        progress: called with a `scoresde.jobs.Report` now and then.
        about: the text of the first report.
    """
    batch_size = -(-min(batch_size, num) // mesh.size) * mesh.size

    def compute(rows: np.ndarray, fetch: jobs.Fetch) -> dict[str, np.ndarray]:
        images = read(np.minimum(rows, num - 1))  # the last batch is filled up
        images = training.split_batch(mesh, images)
        return fetch(look(extractor, images, bins))

    found = jobs.in_batches(
        compute,
        num=num,
        batch_size=batch_size,
        parts=parts,
        progress=progress,
        about=about,
    )
    return FeatureSet(
        name=name,
        features=found["features"],
        logits=found.get("logits"),
        protocol=extractor.protocol,
    )
