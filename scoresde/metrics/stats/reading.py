"""Reading files of statistics. What a file is, its keys say, whatever it is called.

    mu, sigma                          pytorch-fid, TTUR, EDM, clean-fid; torch-fidelity (.pt)
    mu, sigma, mu_s, sigma_s, arr_0    guided-diffusion: of pool_3, of mixed_6, and images
    num_images, fid: {mu, sigma}, ...  EDM2 (.pkl)
    pool_3, logits                     score_sde; a set may be in several files
    feats                              clean-fid, for KID
    reps                               dgm-eval
    an array alone, [n, d]             torch-fidelity's features (.pt), numpy.save

Pickles are read by `pretrained.unpickler`, which runs nothing; Python objects in .npz are left out.
"""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoresde.metrics import feature_arrays, gaussians, moments
from scoresde.metrics.stats import contents, protocols
from scoresde.registry import UsageError

FEATURES = ("pool_3", "feats", "reps", "arr_0")
"""Names of features; what `arr_0` is, its shape says."""

IMAGES = "Those are images: compute features of them, and statistics of these."


@dataclasses.dataclass(frozen=True, eq=False)
class StoredStatistics(moments.Moments):
    """What a file holds; moments, with the features that they are of if it has those.

    Attributes:
        features: [n, d], or None.
        logits: [n, classes], or None.
    """

    features: np.ndarray | None = None
    logits: np.ndarray | None = None


def read(
    path: str | pathlib.Path | Sequence[str | pathlib.Path], kind: str | None = None
) -> StoredStatistics:
    """The statistics in a file, of whatever tool.

    Args:
        path: a file; several that have the features of one set; or a folder of score_sde's, with
            `statistics_0.npz` and so on.
        kind: which, where a file has several: "fid" or "fd_dinov2" of EDM2's, "sfid" of
            guided-diffusion's. By default "fid", or the only one.

    Raises:
        UsageError: no such file, a damaged one, one of something else, or no covariance.
    """
    paths = _paths(path)
    parts = [_part(contents.read(path), path, kind) for path in paths]
    if len(parts) == 1:
        return _whole(parts[0], paths[0])
    if any(part.features is None or part.mean is not None for part in parts):
        raise UsageError(
            "Several files of statistics can be taken together where each has features alone; "
            f"{paths[0]} or a later one has a covariance."
        )
    if any(part.features.shape[1] != parts[0].features.shape[1] for part in parts):
        raise UsageError(f"{paths[0]} and the other files have features of several lengths.")
    if any(part.protocol != parts[0].protocol for part in parts):
        raise UsageError(f"{paths[0]} and the other files are of several protocols.")
    logits = [part.logits for part in parts]
    joined = dataclasses.replace(
        parts[0],
        features=np.concatenate([part.features for part in parts]),
        logits=None if any(x is None for x in logits) else np.concatenate(logits),
    )
    return _whole(joined, paths[0])


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """What one file has, any of it None."""

    mean: Any = None
    covariance: Any = None
    num: int | None = None
    features: np.ndarray | None = None
    logits: np.ndarray | None = None
    protocol: dict[str, Any] | None = None


def _whole(part: _Part, path: pathlib.Path) -> StoredStatistics:
    """What a file has, and the moments of its features where it has none."""
    mean, covariance, num = part.mean, part.covariance, part.num
    if mean is None:
        if len(part.features) < 2:
            raise UsageError(f"{path} has the features of one image; it takes two.")
        found = moments.of(part.features)
        mean, covariance, num = *found, found.num
    return StoredStatistics(mean, covariance, num, part.protocol, part.features, part.logits)


def _paths(path: Any) -> list[pathlib.Path]:
    """The files that are meant, in order."""
    if not isinstance(path, str | pathlib.Path):
        if not path:
            raise UsageError("No file of statistics is given.")
        return [pathlib.Path(one) for one in path]
    path = pathlib.Path(path)
    if not path.is_dir():
        return [path]
    numbered = {p: re.fullmatch(r"statistics_(\d+)\.npz", p.name) for p in path.iterdir()}
    found = sorted((int(match[1]), p) for p, match in numbered.items() if match)
    if not found:
        raise UsageError(f"{path} is a folder without score_sde's statistics_0.npz; give a file.")
    return [p for _, p in found]


def _part(held: contents.Contents, path: pathlib.Path, kind: str | None) -> _Part:
    """What is in a file, checked."""
    section, num = _section(held, path, kind)
    protocol = protocols.decoded(section.get("protocol"), path)
    if section:
        check = f"{path}: mu", f"{path}: sigma"
        mean, covariance = gaussians.check(section["mu"], section["sigma"], *check)
        return _Part(mean, covariance, num, protocol=protocol)
    name = next((n for n in FEATURES if n in held.arrays), None)
    if name is None or (name == "arr_0" and held.arrays[name].ndim > 2):
        raise _nothing(held, path)
    features = feature_arrays.checked(held.arrays[name], f"{path}: {name}")
    logits = held.arrays.get("logits")
    if logits is not None:
        logits = feature_arrays.checked(logits, f"{path}: logits")
        if len(logits) != len(features):
            raise UsageError(
                f"{path} has {len(features)} features but {len(logits)} logits; make it anew."
            )
    return _Part(
        num=len(features),
        features=features,
        logits=logits,
        protocol=protocols.decoded(held.arrays.get("protocol"), path),
    )


def _section(held: contents.Contents, path: pathlib.Path, kind: str | None) -> tuple[Mapping, Any]:
    """The mean and the covariance that are asked for, if the file has any, and of how many."""
    num = held.arrays.get("num_images")
    num = int(num) if num is not None and np.ndim(num) == 0 else None
    sections = dict(held.sections)
    for name, suffix in (("", ""), ("sfid", "_s")):
        if f"mu{suffix}" in held.arrays and f"sigma{suffix}" in held.arrays:
            sections[name] = {key: held.arrays[f"{key}{suffix}"] for key in ("mu", "sigma")}
            sections[name]["protocol"] = held.arrays.get("protocol")
    if not sections:
        if kind == "sfid":
            raise UsageError(f"{path} has no sfid, which is of mu_s and sigma_s.")
        return {}, num
    plain = kind != "sfid" and "" in sections  # whatever it is of
    chosen = "" if plain else kind or ("fid" if len(sections) > 1 else next(iter(sections)))
    if chosen not in sections:
        known = ", ".join(name or "fid" for name in sections)
        raise UsageError(f"{path} has no {chosen}; it has {known}.")
    return sections[chosen], num


def _nothing(held: contents.Contents, path: pathlib.Path) -> UsageError:
    """The error for a file without statistics."""
    names = held.names
    if {"arr_0", "samples"} & set(names):
        return UsageError(f"{path} has {contents.listed(names)}, no statistics. {IMAGES}")
    if {"fid", "kid", "IS"} & set(names):
        return UsageError(
            f"{path} has scores ({contents.listed(names)}), which are made of statistics; give the "
            "file that they were made of."
        )
    return UsageError(
        f"{path} has {contents.listed(names)}; expected mu and sigma, or features: "
        f"{', '.join(FEATURES[:-1])}."
    )
