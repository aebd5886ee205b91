"""Decoders by numerical integration and in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from gaussian_truth import gaussian_mass
from scipy import stats

from scoresde.likelihood.bounds.decoders import gaussian_decoder_cost, marginal_decoder_cost


def test_the_marginal_decoder_by_numerical_integration():
    bins = 6
    levels = jnp.arange(bins)[:, None]
    cost = jax.jit(lambda snr: marginal_decoder_cost(levels, snr, bins, (-1, 1)))
    e = np.linspace(-10, 10, 20_001)
    for snr in (0.3, 30.0, 1e3, 1e9):
        values = np.sqrt(snr) * (-1 + 2 * np.arange(bins) / (bins - 1))
        expected = []
        for value in values:
            logits = -0.5 * (value + e[:, None] - values) ** 2
            log_prob = -0.5 * e**2 - np.logaddexp.reduce(logits, axis=1)
            expected.append(-np.trapezoid(stats.norm.pdf(e) * log_prob, e))
        np.testing.assert_allclose(cost(snr), expected, rtol=1e-4, atol=2e-6)


def test_the_gaussian_decoder_to_the_last_digit():
    """Against float64, from bins that hold everything to bins far in a tail."""
    bins, levels = 5, jnp.arange(5)[:, None]
    decoder_cost = jax.jit(
        lambda mean, std: gaussian_decoder_cost(levels, 0 * levels + mean, std, bins, (-1, 1))
    )
    for mean, std in ((0.1, 0.02), (-0.93, 0.3), (0.5, 2.0), (0.0, 1e-3)):
        cost = decoder_cost(mean, std)
        mass = np.array([gaussian_mass(k, bins, mean, std) for k in range(bins)])
        with np.errstate(divide="ignore"):
            expected = -np.log(mass)
        seen = mass > 1e-300
        np.testing.assert_allclose(np.asarray(cost)[seen], expected[seen], rtol=2e-4, atol=1e-6)
        assert np.isfinite(cost).all()
        np.testing.assert_allclose(np.exp(-np.asarray(cost, np.float64)).sum(), 1, rtol=1e-5)


def test_the_gaussian_decoder_has_a_gradient_at_every_level():
    """A learned variance is trained through it: in the edge bins and far from them."""
    images = jnp.arange(5)[:, None]

    def cost(mean, log_std):
        std = jnp.exp(log_std) * jnp.ones((5, 1))
        return jnp.sum(gaussian_decoder_cost(images, mean + 0.0 * images, std, 5, (-1, 1)))

    def expected(mean, log_std):
        return -sum(np.log(gaussian_mass(k, 5, mean, np.exp(log_std))) for k in range(5))

    slope = jax.jit(jax.grad(cost, argnums=(0, 1)))
    for at in ((0.2, -1.0), (0.9, -2.0)):
        numeric = [
            (expected(*np.add(at, step)) - expected(*np.subtract(at, step))) / 2e-5
            for step in ((1e-5, 0.0), (0.0, 1e-5))
        ]
        np.testing.assert_allclose(slope(*at), numeric, rtol=1e-3)
