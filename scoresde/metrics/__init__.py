"""Distances between sets of samples."""

from scoresde.metrics.distances import energy_distance, sliced_wasserstein

__all__ = ["energy_distance", "sliced_wasserstein"]
