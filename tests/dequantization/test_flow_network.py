"""The flow: its determinant, its inverse, its limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import couplings, dequantizer_network
from scoresde.registry import UsageError

SHAPE = (2, 2, 2)


@pytest.fixture(scope="module")
def flat(network, moved):
    """Of one image, with vectors of noise: noise -> (Jacobian, (y, log determinant))."""
    image = jax.random.uniform(jax.random.key(3), (1, *SHAPE))

    def run(noise):
        y, log_det = network(moved, noise.reshape(1, *SHAPE), image)
        return y.ravel(), (y.ravel(), log_det[0])

    return jax.jit(lambda noise: jax.jacfwd(run, has_aux=True)(noise))


def test_the_log_determinant_is_that_of_the_jacobian(flat):
    changes = []
    for seed in range(4):
        noise = 3 * jax.random.normal(jax.random.key(seed), (8,))
        jacobian, (_, ours) = flat(noise)
        sign, log_det = np.linalg.slogdet(np.asarray(jacobian, np.float64))
        assert sign != 0
        np.testing.assert_allclose(ours, log_det, rtol=1e-4, atol=1e-3)
        changes.append(log_det)
    assert np.ptp(changes) > 0.1  # the flow does something


def test_newtons_method_finds_the_noise_again(flat):
    """From the result alone, whatever the start: the flow has an inverse."""
    noise = np.random.default_rng(9).logistic(size=8)
    target = np.asarray(flat(noise)[1][0])

    def miss(x):
        jacobian, (y, _) = flat(x)
        return np.asarray(jacobian, np.float64), np.asarray(y, np.float64) - target

    for x in (np.zeros(8), np.random.default_rng(1).normal(size=8)):
        jacobian, offset = miss(x)
        for _ in range(100):
            step = np.linalg.solve(jacobian, offset)
            trials = ((x - size * step, miss(x - size * step)) for size in 0.5 ** np.arange(12))
            better = (t for t in trials if np.linalg.norm(t[1][1]) < np.linalg.norm(offset))
            x, (jacobian, offset) = next(better, (x, (jacobian, offset)))
            if np.linalg.norm(offset) < 1e-5:
                break
        np.testing.assert_allclose(x, noise, atol=1e-3)


def test_the_columns_are_split_like_a_checkerboard():
    x = jnp.arange(8.0).reshape(1, 2, 4, 1)  # [[0 1 2 3] [4 5 6 7]]
    white, black = couplings.split_columns(x)
    assert white.ravel().tolist() == [0, 2, 5, 7] and black.ravel().tolist() == [1, 3, 4, 6]
    np.testing.assert_array_equal(couplings.merge_columns(white, black), x)


def test_the_mixtures_logit_in_the_far_tails():
    """Against double precision, where the distribution function itself rounds to 0 or 1."""
    logits, means, log_scales = np.random.default_rng(0).normal(size=(3, 4))
    x = np.array([-60.0, -8.0, -0.3, 0.0, 2.0, 60.0])
    weights = np.exp(logits) / np.exp(logits).sum()
    z = (x[:, None] - means) * np.exp(-log_scales)
    cdf = np.sum(weights / (1 + np.exp(-z)), axis=1)
    survival = np.sum(weights / (1 + np.exp(z)), axis=1)
    density = np.sum(weights * np.exp(-log_scales) / (2 + np.exp(z) + np.exp(-z)), axis=1)
    y, log_slope = couplings.logistic_mixture_logit(
        *(jnp.asarray(a, jnp.float32) for a in (x, logits, means, log_scales))
    )
    np.testing.assert_allclose(y, np.log(cdf / survival), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_slope, np.log(density / cdf / survival), rtol=1e-4, atol=1e-4)


def test_an_untrained_flow_is_nearly_the_identity(network):
    params = network.init(jax.random.key(0), SHAPE)
    noise = jax.random.logistic(jax.random.key(1), (64, *SHAPE))
    y, log_det = jax.jit(network.apply)(params, noise, jnp.full((64, *SHAPE), 0.5))
    assert jnp.sqrt(jnp.mean((y - noise) ** 2)) < 0.5
    assert jnp.abs(log_det).mean() / 8 < 0.2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"couplings": 0}, "couplings=0"),
        ({"filters": 6, "heads": 4}, "4 heads cannot share"),
        ({"components": 1.5}, "components=1.5"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        dequantizer_network(**options)


def test_an_odd_width_is_refused(network):
    with pytest.raises(UsageError, match="width 5 must be even"):
        network.init(jax.random.key(0), (4, 5, 1))
