"""Processes and images that the tests of bounds share."""

import dataclasses

import numpy as np
import pytest

from scoresde import analytic


@pytest.fixture(scope="module")
def process(any_process):
    """name -> a process that shares its programs, with an end at which log_snr is finite."""

    def named(name):
        sde = any_process(name)
        return dataclasses.replace(sde, t_max=0.9999) if name == "rectified_flow" else sde

    return named


@pytest.fixture(scope="module")
def binary_images():
    """Images of two pixels and five levels, with a probability for each of the 25."""
    levels = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(25, 2)
    probabilities = np.random.default_rng(1).dirichlet(np.ones(25))
    data = analytic.GaussianMixture(probabilities, levels / 2 - 1, np.zeros((25, 2, 2)))
    return levels, probabilities, data
