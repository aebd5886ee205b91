"""What posterior guidance reaches for Gaussian data, against its moment equations."""

import itertools
import pathlib

import jax
import numpy as np
import pytest
from scipy import stats

from scoresde import analytic, guidance, likelihood, observations, samplers, sdes

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "guidance"
PROCESSES = {"vp": sdes.VP(), "ve": sdes.VE(sigma_min=0.01, sigma_max=50.0)}
METHODS = {"dps": guidance.DPS, "pigdm": guidance.PiGDM, "tmpd": guidance.TMPD}
NUM = 4000


QUICK = [
    ("a", "vp", "sde", "pigdm"),
    ("b", "ve", "ode", "dps"),
]
CASES = [
    case if case in QUICK else pytest.param(*case, marks=pytest.mark.thorough)
    for case in itertools.product(("a", "b"), PROCESSES, ("sde", "ode"), METHODS)
]


@pytest.mark.parametrize("name, process, way, method", CASES)
def test_samples_have_the_moments_that_the_method_has_in_the_limit(name, process, way, method, key):
    prior = np.load(GOLDEN / f"posterior_gaussian_{name}.npz")
    limit = np.load(GOLDEN / f"expected_linear_gaussian_{name}.npz")
    mean, covariance = (
        limit[f"{method}/{process}/{way}/{what}"] for what in ("mean", "covariance")
    )
    data = analytic.gaussian(prior["prior_means"][0], prior["prior_covariances"][0])
    observation = observations.Matrix(matrix=prior["A"], noise=np.sqrt(np.diag(prior["R"])))
    guided = METHODS[method](data.denoiser(PROCESSES[process]), observation)
    sampler, steps = ("ancestral_sampling", 500) if way == "sde" else ("heun", 80)
    y = np.broadcast_to(prior["y"], (NUM, prior["y"].size))
    x = samplers.sample(
        key, samplers.get(sampler), guided, (NUM, 2), steps=steps, condition={"observation": y}
    ).x
    variances = np.diag(covariance)
    error = np.sqrt(variances / NUM)
    np.testing.assert_array_less(np.abs(x.mean(axis=0) - mean), 4 * error + 2e-3)
    error = np.sqrt((np.outer(variances, variances) + covariance**2) / NUM)
    np.testing.assert_array_less(np.abs(np.cov(x.T) - covariance), 4 * error + 2e-3)


def test_the_published_step_is_as_long_however_uncertain_the_observation_is(key):
    data = analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(sdes.VP())
    y = {"observation": np.ones((NUM, 1))}
    drawn = []
    for noise in (0.1, 1.0):
        observation = observations.Matrix(matrix=np.eye(2)[:1], noise=noise)
        guided = guidance.DPS(data, observation, 0.1, norm="published", steps=100)
        sampler = samplers.get("ancestral_sampling")
        drawn.append(samplers.sample(key, sampler, guided, (NUM, 2), steps=100, condition=y).x)
    np.testing.assert_array_equal(*drawn)
    assert abs(drawn[0][:, 0].mean() - 1) < 0.1 and abs(drawn[0][:, 1].mean()) < 0.1
    assert jax.numpy.isfinite(drawn[0]).all()


def test_the_likelihood_of_a_guided_gaussian_is_that_of_its_posterior(key):
    covariance = np.array([[1.0, 0.6], [0.6, 0.8]])
    data = analytic.gaussian(np.array([0.5, -0.3]), covariance)
    observation = observations.Matrix(matrix=np.eye(2)[:1], noise=0.3)
    guided = guidance.TMPD(data.denoiser(sdes.VP()), observation)
    x, y = np.array([[1.1, 0.2], [0.7, -0.5]]), np.array([[1.2], [0.4]])
    result = likelihood.log_prob(key, guided, x, condition={"observation": y}, trace="exact")
    gain = covariance[:, 0] / (1 + 0.3**2)
    means = np.array([0.5, -0.3]) + gain * (y - 0.5)
    posterior = stats.multivariate_normal(cov=covariance - np.outer(gain, covariance[0]))
    np.testing.assert_allclose(result.nats, posterior.logpdf(x - means), atol=0.02)


MIXTURES = [
    ("a", "pigdm", "sde"),
    ("b", "tmpd", "ode"),
    ("noiseless", "replacement", "sde"),
]
ALL_MIXTURES = [
    case if case in MIXTURES else pytest.param(*case, marks=pytest.mark.thorough)
    for case in itertools.product(
        ("a", "b", "noiseless"), ("exact", "replacement", *METHODS), ("sde", "ode")
    )
    if case[1:] != ("replacement", "ode") and case[:2] != ("noiseless", "dps")
]


@pytest.mark.parametrize("name, method, way", ALL_MIXTURES)
def test_where_modes_compete_a_method_has_the_bias_that_was_simulated(name, method, way, key):
    golden = np.load(GOLDEN / f"posterior_mixture_{name}.npz")
    measured = np.load(GOLDEN / f"measured_mixture_{name}.npz")
    expected = {
        what: measured[f"{method}/{way}/{what}"]
        for what in ("mean", "mean_se", "responsibilities", "responsibilities_se")
    }
    data = analytic.GaussianMixture(
        *(golden[f"prior_{what}"] for what in ("weights", "means", "covariances"))
    )
    noise, y = np.sqrt(np.diag(golden["R"])), golden["y"]
    observation = observations.Matrix(matrix=golden["A"], noise=noise)
    denoiser, constraint = data.denoiser(PROCESSES["vp"]), None
    if method == "exact":
        guided = data.given(golden["A"], noise, y).denoiser(PROCESSES["vp"])
    elif method == "replacement":
        guided = guidance.Projected(denoiser, observation)
        constraint = guidance.Replacement(PROCESSES["vp"], observation)
    else:
        guided = METHODS[method](denoiser, observation)
    sampler, steps = ("ancestral_sampling", 400) if way == "sde" else ("ddim", 200)
    told = None if method == "exact" else {"observation": np.broadcast_to(y, (NUM, y.size))}
    x = samplers.sample(
        key, samplers.get(sampler), guided, (NUM, 2), steps=steps, condition=told,
        constraint=constraint,
    ).x  # fmt: skip
    found = {"mean": x, "responsibilities": data.responsibilities(x)}
    for what, values in found.items():
        # 0.03 for the steps, which are a fifth of the simulation's or fewer.
        error = np.hypot(np.std(values, axis=0) / NUM**0.5, expected[f"{what}_se"])
        gap = np.abs(np.mean(values, axis=0) - expected[what])
        np.testing.assert_array_less(gap, 4 * error + 0.03, err_msg=what)


def test_the_last_denoising_moves_no_farther_than_a_published_step():
    """By the exploding process's sigma^2 it would move sixty times as far."""
    denoiser = analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(PROCESSES["ve"])
    guided = guidance.DPS(
        denoiser, observations.Matrix(matrix=np.eye(2)[:1]), 0.3, norm="published", steps=1000
    )
    y = {"observation": np.ones((1, 1))}
    x, t = jax.numpy.array([[0.2, 0.1]]), PROCESSES["ve"].t_min
    moved = guided(x, t, y).x0 - denoiser(x, t).x0
    np.testing.assert_allclose(moved, [[0.3, 0.0]], atol=1e-3)
