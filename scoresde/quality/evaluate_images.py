"""Images from anywhere, measured against others: the evaluation that needs no run."""

import pathlib
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from scoresde import files, jobs, training
from scoresde.quality import reference as references
from scoresde.quality.extract import extract
from scoresde.quality.images import open_images
from scoresde.quality.measures import BITS, check_possible, measure, measures, options_of
from scoresde.quality.report import as_json, plain, versions, write_report
from scoresde.registry import UsageError, UsageWarning

_SHOWN = 64


def evaluate_images(
    images: str | pathlib.Path,
    reference: str | pathlib.Path,
    extractor: Any,
    *,
    directory: pathlib.Path,
    metrics: Sequence[str] = ("fd", "kid", "precision", "recall"),
    split: str = "train",
    bins: int | None = None,
    batch_size: int = 64,
    overwrite: bool = False,
    progress: jobs.Tell | None = None,
) -> dict[str, Any]:
    """Measures images and writes evaluation.json and report.html.

    Args:
        images: see `scoresde.quality.images`.
        reference: images too, a file of statistics, or the name of a data set.
        extractor: of `scoresde.metrics.features`.
        directory: of the results. What is done is kept there until all is.
        metrics: names of `scoresde.quality.MEASURES`.
        split: of a data set, to compare with.
        bins: gray levels of arrays whose file does not say.
        batch_size: images at a time.
        overwrite: replace results that are there.
        progress: called with a `scoresde.jobs.Report` now and then.

    Returns:
        What evaluation.json holds, and the "files" that were written. On other processes than the
        first, nothing.

    Raises:
        UsageError: images or a reference that cannot be read, or results that are there.
    """
    if BITS in metrics:
        raise UsageError(f"{BITS} is of the model of a run, not of images: leave it out.")
    chosen, opened = measures(list(metrics), extractor), open_images(images, bins)
    if opened.num < 2:
        raise UsageError(f"{images} holds one image, which has no distribution: give more.")
    record = {
        "num": opened.num,
        "images": str(images),
        "asked": list(metrics),
        "features": plain(extractor.protocol),
        "options": options_of(chosen),
        "rounding": "as in the file",
    }
    computed = {**record, "reference": str(reference), "split": split, "batch_size": batch_size}
    parts = jobs.open_parts(directory, computed, overwrite)
    options = {"mesh": training.make_mesh(), "batch_size": batch_size, "progress": progress}
    compared, about = references.of_anything(reference, extractor, split=split, **options)
    check_possible(chosen, extractor, compared, opened.num)
    record["images_sha256"] = opened.sha256()
    _compare_with_before(parts, record["images_sha256"], images)
    generated = extract(
        opened.read,
        opened.num,
        extractor,
        name=opened.name,
        bins=opened.bins,
        parts=parts,
        about=f"Evaluating {opened.num:,} images in {images}; results go to {directory}.",
        **options,
    )
    numbers = measure(chosen, generated, compared)
    if jax.process_index() != 0:
        return {}
    row = {"cell": {"images": str(images)}, "seed": None}
    row["metrics"] = as_json(numbers, extractor, metrics)
    result = {**row, **record, "reference": about, "versions": versions(), "rows": [row]}
    shown = opened.read(np.arange(min(_SHOWN, opened.num)))
    written = write_report(directory, result, {"images": shown}, bins=opened.bins)
    parts.remove()  # last, for without them all is there
    return {**result, "files": written}


def _compare_with_before(parts: jobs.Parts, digest: str, images: str | pathlib.Path) -> None:
    """Warns where batches were finished of other images, unless one was only repaired since."""
    kept = parts.directory / "images.json"
    if kept.exists() and files.read_json(kept) != {"sha256": digest}:
        warnings.warn(
            f"{images} changed since its evaluation was begun, of which what was done is kept: if "
            "more than what could not be read is new, begin again with --overwrite.",
            UsageWarning,
            stacklevel=3,
        )
    elif jax.process_index() == 0:
        parts.begin()
        files.write_json(kept, {"sha256": digest})
