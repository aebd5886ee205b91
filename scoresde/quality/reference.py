"""The features that samples are compared with: of a split of the data, kept once they are there."""

import hashlib
import json
import pathlib
import zipfile
from typing import Any

import jax
import numpy as np

from scoresde import data, jobs, metrics
from scoresde.data.mapped import rows_of
from scoresde.metrics.weight_files import sha256
from scoresde.quality.extract import extract
from scoresde.quality.feature_set import FeatureSet
from scoresde.quality.images import open_images


def images_digest(images: np.ndarray) -> str:
    """SHA-256 of the pixels and their shape; a memory-mapped file is read a part at a time."""
    digest = hashlib.sha256(str(images.shape).encode())
    for start in range(0, len(images), 4096):
        rows = rows_of(images, slice(start, start + 4096))
        digest.update(np.ascontiguousarray(rows))
    return digest.hexdigest()


def of_split(
    directory: pathlib.Path | None,
    source: data.Source,
    split: str,
    extractor: Any,
    *,
    mesh: jax.sharding.Mesh,
    batch_size: int = 64,
    progress: jobs.Tell | None = None,
) -> tuple[FeatureSet, dict[str, Any]]:
    """The features of all images of a split, and what is recorded of them.

    They are kept in `directory`, if there is one, under a name that says of which images and by
    which extractor.
    """
    images, bins = source.splits[split].images, source.bins
    about = {
        "data": f"{source.name}, {split}",
        "images": len(images),
        "bins": bins,
        "sha256": images_digest(images),
    }
    protocol = {**about, "features": json.loads(json.dumps(extractor.protocol))}
    tag = hashlib.sha256(json.dumps(protocol, sort_keys=True).encode()).hexdigest()[:12]
    name = f"the {split} images of {source.name}"
    path = None if directory is None else directory / f"{split}_{tag}.npz"
    if path is not None and jobs.agreed(path.exists()):
        return read_statistics(path, name), about
    parts = None if path is None else jobs.Parts(path.with_suffix(""), protocol)
    found = extract(
        lambda rows: rows_of(images, rows),
        len(images),
        extractor,
        name=name,
        mesh=mesh,
        bins=bins,
        batch_size=batch_size,
        parts=parts,
        progress=progress,
        about=f"Features of {len(images):,} {split} images of {source.name}"
        f"{'.' if path is None else f'; kept in {path}.'}",
    )
    if parts is not None and jax.process_index() == 0:
        metrics.stats.write_features(
            path, found.features, found.logits, extractor.protocol, overwrite=True
        )
        parts.remove()
    return found, about


def read_statistics(path: pathlib.Path, name: str) -> FeatureSet:
    """What a file of statistics holds: of whatever tool, see `scoresde.metrics.stats`."""
    found = metrics.stats.read(path)
    return FeatureSet(
        name=name,
        features=found.features,
        logits=found.logits,
        given_moments=found,
        protocol=found.protocol,
    )


def of_anything(
    what: str | pathlib.Path, extractor: Any, *, split: str = "train", **options: Any
) -> tuple[FeatureSet, dict[str, Any]]:
    """`of_file`, or `of_split` where `what` is the name of a data set without options.

    Raises:
        UsageError: there is no such file, folder or data set.
    """
    path = pathlib.Path(what).expanduser()
    if path.exists() or str(what) not in data.SOURCES:
        return of_file(path, extractor, **options)
    return of_split(None, data.get(str(what)), split, extractor, **options)


def check_there(reference: str | pathlib.Path, images: str | pathlib.Path) -> None:
    """Whether there are images and what they are compared with, before anything is looked for.

    Raises:
        UsageError: there is no such file, folder or data set.
    """
    open_images(images)
    if str(reference) not in data.SOURCES and not pathlib.Path(reference).expanduser().exists():
        open_images(reference)  # which says so


def of_file(
    path: str | pathlib.Path,
    extractor: Any,
    *,
    mesh: jax.sharding.Mesh,
    batch_size: int = 64,
    bins: int | None = None,
    progress: jobs.Tell | None = None,
) -> tuple[FeatureSet, dict[str, Any]]:
    """The features of images at `path`, or a file of statistics there, and what is recorded.

    Raises:
        UsageError: there is neither.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_file() and _holds_statistics(path):
        features = read_statistics(path, str(path))
        about = {"file": path.name, "images": features.num, "sha256": sha256(path)}
        return features, about
    images = open_images(path, bins)
    found = extract(
        images.read,
        images.num,
        extractor,
        name=images.name,
        mesh=mesh,
        bins=images.bins,
        batch_size=batch_size,
        progress=progress,
        about=f"Features of {images.num:,} images in {path}.",
    )
    about = {"folder" if path.is_dir() else "file": path.name, "images": images.num}
    return found, about | {"sha256": images.sha256()}


def _holds_statistics(path: pathlib.Path) -> bool:
    """Whether a file is one of statistics, and not of images."""
    if path.suffix.lower() in (".pkl", ".pt", ".pth"):
        return True
    if path.suffix.lower() != ".npz" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy") for name in archive.namelist()}
    return bool(names & {"mu", "pool_3", "feats", "reps"})
