"""The bound of images whose every probability is known, and of data with a density."""

import numpy as np
import pytest
from gaussian_truth import GaussianTruth, assert_unbiased
from scipy import stats

from scoresde import analytic, sdes
from scoresde.likelihood import DDPMBound, VDMBound
from scoresde.registry import UsageError

PROCESSES = ["vp", "subvp", "ve", "cosine", "rectified_flow"]


@pytest.mark.parametrize("name", PROCESSES)
def test_vdm_bound_is_the_probability_of_each_image(name, process, binary_images, key):
    """Data on a grid under their exact denoiser, little noise at t_min: nothing is lost."""
    levels, probabilities, data = binary_images
    sde = process(name)
    bound = VDMBound()(key, data.denoiser(sde), levels, bins=5)
    prior = GaussianTruth(data, sde, levels / 2 - 1).prior()
    np.testing.assert_allclose(bound.prior, prior, rtol=1e-3, atol=1e-6)
    assert_unbiased(bound.nats, bound.stderr, np.log(probabilities), bias=2e-3, sigmas=5)


def test_vdm_bound_of_data_with_a_density(key):
    """One pixel: E[log p_tmin(z) + log p(k | z) - log q(z | k)] over z by numerical integration."""
    bins, sde, t_min = 8, sdes.VP(), 0.02
    data = analytic.GaussianMixture([0.6, 0.4], [[-0.4], [0.5]], [[[0.04]], [[0.09]]])
    levels = np.arange(bins)[:, None]
    bound = VDMBound(t_min=t_min, samples=256)(key, data.denoiser(sde), levels, bins=bins)
    alpha, sigma = float(sde.alpha(t_min)), float(sde.sigma(t_min))
    values = -1 + 2 * np.arange(bins) / (bins - 1)
    z = np.linspace(-2.5, 2.5, 20_001)
    given = stats.norm.pdf(z[:, None], alpha * values, sigma)
    density = 0.6 * stats.norm.pdf(z, -0.4 * alpha, np.hypot(alpha * 0.2, sigma))
    density += 0.4 * stats.norm.pdf(z, 0.5 * alpha, np.hypot(alpha * 0.3, sigma))
    decoder = given / given.sum(axis=1, keepdims=True)
    log_ratio = np.log(density[:, None] + 1e-300) + np.log(decoder + 1e-300)
    expected = np.trapezoid(given * (log_ratio - np.log(given + 1e-300)), z, axis=0)
    assert_unbiased(bound.nats, bound.stderr, expected, bias=1e-3)
    assert (bound.reconstruction > 0.05).all()
    # And it bounds the probability of the level under the model, the decoder averaged over z.
    probability = np.trapezoid(density[:, None] * decoder, z, axis=0)
    assert abs(probability.sum() - 1) < 1e-6
    assert (bound.nats < np.log(probability) + 3 * bound.stderr).all()
    assert (np.log(probability) > expected + 0.03).all()


@pytest.mark.parametrize("bound", [VDMBound(), DDPMBound(steps=4)])
@pytest.mark.parametrize(
    "images, options, message",
    [
        (np.full((2, 2), 4), {"bins": 4}, r"Levels must lie in 0 .. 3"),
        (np.ones((2, 2)), {}, "integer levels"),
        (np.ones((0, 2), int), {}, "integer levels"),
        (np.ones((2, 2), int), {"level_range": (1, 1)}, "level_range low < high"),
        (np.zeros((2, 2), int), {"bins": 1}, "bins >= 2"),
    ],
)
def test_what_is_no_image_is_refused(bound, images, options, message, binary_images, key):
    with pytest.raises(UsageError, match=message):
        bound(key, binary_images[2].denoiser(sdes.VP()), images, **options)
