"""From one class to another by way of the latents: a map that is known for Gaussians."""

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.analytic import gaussian
from scoresde.labeled_mixture import labeled_mixture

MEANS, STDS = np.array([-1.0, 0.5]), np.array([0.3, 0.9])


@pytest.fixture(scope="module")
def denoiser():
    classes = [gaussian([m], [[s**2]]) for m, s in zip(MEANS, STDS)]
    return labeled_mixture([0.5, 0.5], classes).denoiser(sdes.VP(t_min=1e-4))


def test_of_gaussian_classes_a_sample_goes_to_its_place_in_the_other(denoiser):
    x, source = jnp.array([[-1.4], [0.9], [-0.7]]), np.array([0, 1, 0])
    target = np.array([1, 0, 0])
    moved = samplers.translate(denoiser, x, {"label": source}, {"label": target})
    # The flow maps N(m, s^2) to its marginal at t_max, linearly: so it does the other way.
    sde = denoiser.sde
    alpha, sigma = (np.float64(f(sde.t_max)) for f in (sde.alpha, sde.sigma))
    near, noise = (np.float64(f(sde.t_min)) for f in (sde.alpha, sde.sigma))

    def at(mean, std, end):
        a, s = (near, noise) if end == "data" else (alpha, sigma)
        return a * mean, np.hypot(a * std, s)

    expected = []
    for value, i, j in zip(np.asarray(x[:, 0]), source, target):
        (m0, s0), (m1, s1) = at(MEANS[i], STDS[i], "data"), at(MEANS[i], STDS[i], "prior")
        latent = m1 + s1 / s0 * (value - m0)
        (m0, s0), (m1, s1) = at(MEANS[j], STDS[j], "data"), at(MEANS[j], STDS[j], "prior")
        expected.append(m0 + s0 / s1 * (latent - m1))
    np.testing.assert_allclose(moved.x[:, 0], expected, atol=2e-3)
    assert expected[2] == pytest.approx(-0.7) and (moved.nfe > 10).all()
