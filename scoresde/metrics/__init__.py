"""Metrics: distances between two sets of samples.

metric = metrics.SlicedWasserstein(projections=512)
metric(key, x, y)

And between two sets of features of images, as the published tools compute them:

gen = metrics.Statistics().update(features).result()
metrics.frechet(*gen, *metrics.stats.read("reference.npz"))

Features of images, by networks, are in the submodules `features`, `inception`, `dinov2` and
`resize`, and files of them in `stats`; these are imported when first used.
"""

import importlib
from typing import Any

from scoresde.metrics.distances import EnergyDistance, SlicedWasserstein
from scoresde.metrics.extrapolation import FDInfinity, fd_infinity, frechet_bootstrap
from scoresde.metrics.gaussians import frechet
from scoresde.metrics.inception_scores import InceptionScore, inception_score
from scoresde.metrics.kernel_distance import KID, kid, kid_all, kid_blocks
from scoresde.metrics.moments import Moments, Statistics
from scoresde.metrics.neighborhoods import PRDC, prdc
from scoresde.registry import make

METRICS = {
    "sliced_wasserstein": SlicedWasserstein,
    "energy_distance": EnergyDistance,
}
"""Metrics by name. A metric is `(key, x [n, ...], y [m, ...]) -> scalar`."""


def get(name: str, **options: Any) -> Any:
    """The metric called `name`, made with `options`.

    Raises:
        UsageError: unknown name or option.
    """
    return make("metric", METRICS, name, **options)


_SUBMODULES = ("dinov2", "features", "inception", "resize", "stats")

__all__ = [
    "KID",
    "METRICS",
    "PRDC",
    "EnergyDistance",
    "FDInfinity",
    "InceptionScore",
    "Moments",
    "SlicedWasserstein",
    "Statistics",
    "fd_infinity",
    "frechet",
    "frechet_bootstrap",
    "get",
    "inception_score",
    "kid",
    "kid_all",
    "kid_blocks",
    "prdc",
    *_SUBMODULES,
]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"scoresde.metrics.{name}")
    raise AttributeError(f"module 'scoresde.metrics' has no attribute {name!r}")
