"""The analytic truth against itself: autodiff of log p, Monte Carlo, SciPy; golden posteriors."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scoresde import analytic, likelihood, samplers, sdes
from scoresde.denoiser import BaseDenoiser
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent / "data" / "guidance"


def test_log_prob_agrees_with_scipy(mixture):
    x = np.random.default_rng(1).normal(size=(20, 2))
    eye = np.eye(2)
    parts = [
        0.5 * stats.multivariate_normal([1, 0], 0.05 * eye).pdf(x),
        0.3 * stats.multivariate_normal([-1, 0.5], np.diag([0.1, 0.04])).pdf(x),
        0.2 * stats.multivariate_normal([0, -1], [[0.05, 0.03], [0.03, 0.05]]).pdf(x),
    ]
    np.testing.assert_allclose(mixture.log_prob(jnp.asarray(x)), np.log(sum(parts)), rtol=2e-4)


@jax.jit
def ways_to_the_score(denoiser, x, t):
    """Itself, the gradient of log p, and x put together again from its posterior means."""
    gradient = jax.grad(lambda x: denoiser.log_prob(x, t).sum())(x)
    prediction = denoiser(x, t)
    return denoiser.score(x, t), gradient, denoiser.sde.perturb(prediction.x0, prediction.noise, t)


@pytest.mark.parametrize("sde", [sdes.VP(), sdes.SubVP(), sdes.VE(), sdes.RectifiedFlow()])
def test_score_is_the_gradient_of_log_p_and_posteriors_add_up(mixture, gaussian, sde, key):
    for data in (mixture, gaussian):
        denoiser = data.denoiser(sde)
        t = jnp.array([0.02, 0.3, 0.9])
        x = sde.perturb(data.sample(key, 3), jax.random.normal(key, (3, *data.event_shape)), t)
        score, gradient, again = ways_to_the_score(denoiser, x, t)
        np.testing.assert_allclose(score, gradient, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(again, x, rtol=1e-4, atol=1e-4)


def test_posterior_mean_by_importance_sampling(mixture, key):
    x0 = mixture.sample(key, 400_000)
    x, alpha, sigma = jnp.array([[0.3, -0.2]]), 0.7, 0.5
    weight = jax.nn.softmax(-0.5 * jnp.sum((x - alpha * x0) ** 2, axis=1) / sigma**2)
    prediction = mixture.posterior(x, jnp.array([alpha]), jnp.array([sigma]))
    np.testing.assert_allclose(prediction.x0[0], weight @ x0, atol=0.01)
    np.testing.assert_allclose(prediction.noise[0], weight @ (x - alpha * x0) / sigma, atol=0.01)


def test_samples_have_the_moments(gaussian, key):
    x = gaussian.sample(key, 50_000).reshape(-1, 4)
    directions, variances = gaussian.directions[0], gaussian.variances[0]
    covariance = directions @ jnp.diag(variances) @ directions.T
    np.testing.assert_allclose(x.mean(axis=0), gaussian.means[0], atol=0.02)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.02)


@pytest.mark.parametrize(
    "arguments",
    [
        ([1.0], [[0.0, 0.0]], [np.eye(3)]),
        ([1.0, -1.0], [[0.0], [1.0]], [[[1.0]], [[1.0]]]),
        ([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.0, 1.0]]]),
        ([1.0], [[0.0, 0.0]], [[[1.0, 2.0], [2.0, 1.0]]]),
        ([1.0, 1.0], [[0.0]], [[[1.0]]]),
    ],
)
def test_impossible_mixtures_are_refused(arguments):
    with pytest.raises(UsageError):
        analytic.GaussianMixture(*arguments)


class OfOnesOwn(BaseDenoiser):
    sde = sdes.VP()


@pytest.mark.parametrize(
    "use",
    [
        lambda denoiser, key: samplers.sample(key, samplers.get("ddim"), denoiser, (2, 2), steps=2),
        lambda denoiser, key: likelihood.log_prob(key, denoiser, jnp.zeros((2, 2))),
    ],
)
def test_a_denoiser_that_jax_does_not_know_is_refused(use, key):
    with pytest.raises(UsageError, match=r"OfOnesOwn, is no JAX pytree.*register_dataclass"):
        use(OfOnesOwn(), key)


@pytest.mark.parametrize("name", ["gaussian_b", "mixture_a", "mixture_b", "mixture_noiseless"])
def test_data_given_an_observation_are_the_golden_posterior(name):
    golden = np.load(GOLDEN / f"posterior_{name}.npz")
    with jax.enable_x64(True):
        prior = analytic.GaussianMixture(
            *(golden[f"prior_{what}"] for what in ("weights", "means", "covariances"))
        )
        noise = np.sqrt(np.diag(golden["R"]))
        posterior = prior.given(golden["A"], noise, golden["y"])
        got = {
            "weights": jnp.exp(posterior.log_weights),
            "means": posterior.means,
            "mean": posterior.mean,
            "covariance": posterior.covariance,
        }
        for what, value in got.items():
            np.testing.assert_allclose(value, golden[f"posterior_{what}"], rtol=1e-9, atol=1e-12)
        # Given x0, y says nothing of the component: their shares are the prior's.
        x = posterior.sample(jax.random.key(0), 20_000)
        shares = prior.responsibilities(x).mean(axis=0)
        np.testing.assert_allclose(shares, golden["posterior_weights"], atol=0.015)


def test_responsibilities_are_the_shares_of_the_components(mixture):
    x = jnp.array([[0.9, 0.1], [0.2, -0.4]])
    shares = mixture.responsibilities(x, 0.8, 0.6)
    one = [jnp.broadcast_to(jnp.arange(3) == k, (2, 3)) for k in range(3)]
    parts = [mixture.log_prob(x, 0.8, 0.6, among) for among in one]
    joint = jnp.stack(parts, axis=1) + mixture.log_weights
    np.testing.assert_allclose(shares, jax.nn.softmax(joint), rtol=1e-5)
    among = jnp.array([[True, False, True]])
    np.testing.assert_array_equal(mixture.responsibilities(x, among=among)[:, 1], 0)


@pytest.mark.parametrize(
    "matrix, noise, y, message",
    [
        ([[1.0]], 0.1, [0.0], r"a matrix \[m, 2\]"),
        ([[1.0, 0.0]], 0.1, [0.0, 1.0], r"as y \[m\]"),
        ([[1.0, 0.0], [1.0, 0.0]], 0.0, [0.0, 0.0], "give it some noise"),
    ],
)
def test_what_cannot_have_been_observed_is_refused(matrix, noise, y, message):
    data = analytic.gaussian(np.zeros(2), np.eye(2))
    with pytest.raises(UsageError, match=message):
        data.given(matrix, noise, y)
