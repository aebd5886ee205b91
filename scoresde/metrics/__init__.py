"""Metrics: distances between two sets of samples.

metric = metrics.SlicedWasserstein(projections=512)
metric(key, x, y)

Features of images, by networks, are in the submodules `features`, `inception`, `dinov2` and
`resize`, which are imported when first used.
"""

import importlib
from typing import Any

from scoresde.metrics.distances import EnergyDistance, SlicedWasserstein
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


_SUBMODULES = ("dinov2", "features", "inception", "resize")

__all__ = ["METRICS", "EnergyDistance", "SlicedWasserstein", "get", *_SUBMODULES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return importlib.import_module(f"scoresde.metrics.{name}")
    raise AttributeError(f"module 'scoresde.metrics' has no attribute {name!r}")
