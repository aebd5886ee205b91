"""Distances between sets of samples, where they are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.metrics import METRICS, EnergyDistance, SlicedWasserstein
from scoresde.registry import UsageError, make


def test_sliced_wasserstein_of_a_shift_is_its_length_over_the_root_of_the_dimensions(key):
    """The root mean square of (shift . direction) over all directions, whatever the samples."""
    x, shift = jax.random.normal(key, (50, 2, 2)), jnp.array([[3.0, 0.0], [-1.0, 2.0]])
    metric = SlicedWasserstein(projections=20_000)
    np.testing.assert_allclose(metric(key, x, x + shift), np.sqrt(14) / 2, rtol=0.02)
    assert metric(key, x, x[::-1]) == 0  # sets, whose order is none


def test_sliced_wasserstein_in_one_dimension_is_the_distance_of_sorted_values(key):
    x, y = np.random.default_rng(0).normal(size=(2, 9, 1))
    expected = np.sqrt(np.mean((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2))
    np.testing.assert_allclose(SlicedWasserstein(projections=3)(key, x, y), expected, rtol=1e-5)


def test_the_energy_distance_is_the_mean_over_pairs_whatever_the_chunk(key):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 2)), rng.normal(1.0, 2.0, size=(5, 2))

    def pairs(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    within = sum(pairs(z, z).sum() / (len(z) * (len(z) - 1)) for z in (x, y))
    for chunk in (2, 1024):
        distance = EnergyDistance(chunk=chunk)(key, x, y)
        np.testing.assert_allclose(distance, 2 * pairs(x, y).mean() - within, rtol=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_called_alike_and_refuses_samples_of_other_shapes(name, key):
    metric = make("metric", METRICS, name)
    assert metric(key, jnp.zeros((4, 2)), jnp.ones((4, 2))).shape == ()
    with pytest.raises(UsageError, match=r"of one shape.*\(4, 2\) and \(4, 3\)"):
        metric(key, jnp.zeros((4, 2)), jnp.zeros((4, 3)))


def test_numbers_of_samples_that_cannot_be_compared_are_refused(key):
    with pytest.raises(UsageError, match="got 4 and 5: leave some out"):
        SlicedWasserstein()(key, jnp.zeros((4, 2)), jnp.zeros((5, 2)))
    with pytest.raises(UsageError, match="at least 2 in each"):
        EnergyDistance()(key, jnp.zeros((1, 2)), jnp.zeros((5, 2)))


@pytest.mark.parametrize(
    "name, option", [("sliced_wasserstein", "projections"), ("energy_distance", "chunk")]
)
def test_an_option_below_one_is_refused(name, option):
    with pytest.raises(UsageError, match=f"{option} must be at least 1"):
        make("metric", METRICS, name, **{option: 0})
