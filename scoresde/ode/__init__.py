"""Ordinary differential equations on the device, each sample on its own adaptive steps."""

from scoresde.ode.solve import METHODS, Stats, check, root_mean_square, solve

__all__ = ["METHODS", "Stats", "check", "root_mean_square", "solve"]
