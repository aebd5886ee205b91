"""bits_per_dim against distributions over levels whose entropy is known."""

import jax
import numpy as np
import pytest

from scoresde.likelihood import bits_per_dim, gaussian_log_prob
from scoresde.registry import UsageError


@pytest.mark.parametrize("bins", [17, 256])
@pytest.mark.parametrize("bin_range", [(-1, 1), (0, 1)])
def test_the_uniform_density_costs_log2_bins(bins, bin_range):
    nats = -64 * np.log(bin_range[1] - bin_range[0])  # of the uniform density on the range
    assert abs(bits_per_dim(nats, 64, bins=bins, bin_range=bin_range) - np.log2(bins)) < 1e-9


def test_published_offsets():
    assert bits_per_dim(0.0, 3072) == 7
    assert bits_per_dim(0.0, 3072, bin_range=(0, 1)) == 8


def test_a_histogram_density_costs_its_entropy():
    """The density constant on every bin is the best case of dequantization: equality in Jensen."""
    probabilities = np.array([0.5, 0.25, 0.125, 0.125])
    levels = np.random.default_rng(0).choice(4, p=probabilities, size=200_000)
    x = (levels + jax.random.uniform(jax.random.key(0), levels.shape)) / 4 * 2 - 1
    density = probabilities[np.floor((np.asarray(x) + 1) / 2 * 4).astype(int)] / 0.5
    bits = bits_per_dim(np.log(density), 1, bins=4).mean()
    assert abs(bits - 1.75) < 0.01


def test_what_is_no_image_or_no_range_is_refused():
    for arguments in (
        {"num_dims": 0},
        {"num_dims": (8, 8, 1)},
        {"bins": 0},
        {"bins": 255.5},
        {"bin_range": (1, 1)},
    ):
        with pytest.raises(UsageError):
            bits_per_dim(0.0, **{"num_dims": 2, **arguments})


def test_a_gaussian_needs_more_images_than_dimensions():
    images = np.random.default_rng(0).normal(size=(4, 2, 2, 1))
    with pytest.raises(UsageError, match="4 dimensions cannot be fitted to 4 training images"):
        gaussian_log_prob(images, images)
