"""Metrics: distances between two sets of samples.

metric = metrics.SlicedWasserstein(projections=512)
metric(key, x, y)
"""

from scoresde.metrics.distances import EnergyDistance, SlicedWasserstein

METRICS = {
    "sliced_wasserstein": SlicedWasserstein,
    "energy_distance": EnergyDistance,
}
"""Metrics by name. A metric is `(key, x [n, ...], y [m, ...]) -> scalar`."""

__all__ = ["METRICS", "EnergyDistance", "SlicedWasserstein"]
