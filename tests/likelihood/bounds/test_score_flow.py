"""The bound of densities against closed forms, for Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_truth import GaussianTruth, assert_unbiased

from scoresde import sdes, times
from scoresde.likelihood import ScoreFlowBound
from scoresde.registry import UsageError

PROCESSES = ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"]


@pytest.fixture(scope="module")
def images(gaussian):
    """32 images of the Gaussian."""
    return gaussian.sample(jax.random.key(1), 32)


@pytest.mark.parametrize("name", PROCESSES)
def test_score_flow_bound_is_tight_for_the_exact_score(name, process, gaussian, images, key):
    """Every part against its closed form, and their sum against log p."""
    sde = process(name)
    bound = ScoreFlowBound()(key, gaussian.denoiser(sde), images)
    truth = GaussianTruth(gaussian, sde, images)
    alpha, sigma = truth.at(sde.t_min)
    np.testing.assert_allclose(bound.prior, truth.prior(), rtol=1e-3, atol=1e-6)
    assert_unbiased(bound.diffusion, bound.stderr, truth.diffusion(sde.t_min), bias=1e-3)
    reconstruction = 2 * np.log(2 * np.pi * (sigma / alpha) ** 2)
    reconstruction = reconstruction + 0.5 * truth.noise_error(alpha, sigma)
    assert_unbiased(bound.reconstruction, bound.stderr, reconstruction, bias=1e-3)
    # Loose only by the prior's mismatch and the decoder's, both below 1e-3 here.
    assert_unbiased(bound.nats, bound.stderr, gaussian.log_prob(images), bias=2e-3)
    assert (bound.nfe == 16 * 65).all() and bound.stderr.max() < 0.6


def test_the_sliced_form_has_the_same_expectation(process, gaussian, images, key):
    denoiser = gaussian.denoiser(process("vp"))
    bound = ScoreFlowBound(form="ssm", probes=2)(key, denoiser, images)
    assert_unbiased(bound.nats, bound.stderr, gaussian.log_prob(images), bias=2e-3)


def test_uniform_times_give_the_same_expectation(gaussian, images, key):
    """At t_min = 0.05: the variance of uniform times grows as it falls."""
    sde = sdes.VP(t_min=0.05)
    bound = ScoreFlowBound(times="stratified")(key, gaussian.denoiser(sde), images)
    truth = GaussianTruth(gaussian, sde, images)
    assert_unbiased(bound.diffusion, bound.stderr, truth.diffusion(0.05))


def test_the_offset_takes_the_bound_from_blurred_to_clean_data(gaussian, images, key):
    """At a t_min where the two differ: E log p_tmin without, and the decoder's gap with it."""
    sde, t_min = sdes.VP(), 0.1
    truth = GaussianTruth(gaussian, sde, images)
    alpha, sigma = truth.at(t_min)
    total = alpha**2 * truth.variance + sigma**2
    blurred = -0.5 * np.sum(
        (alpha**2 * truth.offset**2 + sigma**2) / total + np.log(2 * np.pi * total), axis=1
    )
    options = {"t_min": t_min, "samples": 128}
    without = ScoreFlowBound(offset=False, **options)(key, gaussian.denoiser(sde), images)
    assert_unbiased(without.nats, without.stderr, blurred, bias=1e-3)

    bound = ScoreFlowBound(**options)(key, gaussian.denoiser(sde), images)
    # The true posterior of x is N(Tweedie's mean, variance sigma^2 / V); the decoder's is wider.
    square = sigma**2 / alpha**2 * truth.noise_error(alpha, sigma)
    width, decoder = truth.variance * sigma**2 / total, sigma**2 / alpha**2
    posterior_square = (
        np.sum(
            (alpha * sigma * truth.offset) ** 2 / width / total**2
            + (alpha**2 * truth.variance) ** 2 / width / total**2,
            axis=1,
        )
        * (sigma / alpha) ** 2
    )
    gap = -0.5 * np.sum(np.log(width / decoder)) - 0.5 * (posterior_square - square / decoder)
    assert gap.mean() > 0.05
    log_prob = np.asarray(gaussian.log_prob(images))
    assert_unbiased(bound.nats, bound.stderr, log_prob - gap, bias=1e-3)


def test_stderr_is_calibrated(process, gaussian, images, key):
    """The same images under 8 keys each: z-scores of Student's t with 15 degrees of freedom."""
    denoiser, truth = gaussian.denoiser(process("vp")), np.asarray(gaussian.log_prob(images))
    for options in ({}, {"form": "ssm", "probes": 2}):
        z = []
        for number in range(8):
            bound = ScoreFlowBound(**options)(jax.random.fold_in(key, number), denoiser, images)
            z.append((np.asarray(bound.nats) - truth) / np.asarray(bound.stderr))
        assert abs(np.mean(z)) < 4.5 * 1.07 / np.sqrt(256) + 2e-3
        assert 0.92 < np.std(z) < 1.23  # 1.07


def test_the_arithmetic_is_never_less_than_float32(gaussian, key):
    denoiser, x = gaussian.denoiser(sdes.VP()), jnp.ones((2, 2, 2, 1), jnp.bfloat16)
    bound = jax.eval_shape(lambda x: ScoreFlowBound()(key, denoiser, x), x)
    assert bound.nats.dtype == bound.stderr.dtype == jnp.float32


@pytest.mark.parametrize(
    "options, message",
    [
        ({"form": "sliced"}, "Unknown form"),
        ({"samples": 0}, "samples must be"),
        ({"repeats": 1.5}, "repeats of ScoreFlowBound must be an integer"),
        ({"times": "log_normal"}, "Unknown time distribution"),
        ({"t_min": 1.0}, "t_min must lie"),
        ({"probes": 0}, "probes must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message, gaussian, images, key):
    with pytest.raises(UsageError, match=message):
        ScoreFlowBound(**options)(key, gaussian.denoiser(sdes.VP()), images)


@pytest.mark.parametrize(
    "sde, message",
    [
        (sdes.RectifiedFlow(), "t_max"),  # nothing of the data is left there
        (sdes.VP(t_min=0.0), "at t = 0 there is none"),
    ],
)
def test_ends_where_the_integral_diverges_are_refused(sde, message, gaussian, images, key):
    with pytest.raises(UsageError, match=message):
        ScoreFlowBound()(key, gaussian.denoiser(sde), images)


@pytest.mark.parametrize("x", [np.ones((2, 2), np.uint8), np.ones(2), np.ones((0, 2))])
def test_what_has_no_density_is_refused(x, gaussian, key):
    with pytest.raises(UsageError, match="A density is of"):
        ScoreFlowBound()(key, gaussian.denoiser(sdes.VP()), x)


def test_one_repeat_says_nothing_of_its_error(gaussian, images, key):
    """And no NaN is computed where JAX looks for them."""
    with jax.debug_nans(True):
        bound = ScoreFlowBound(repeats=1, samples=4)(key, gaussian.denoiser(sdes.VP()), images)
    assert jnp.isnan(bound.stderr).all() and jnp.isfinite(bound.nats).all()


def test_a_time_distribution_of_ones_own(gaussian, images, key):
    """Anything called like a class of scoresde.times."""
    own = times.LikelihoodImportance
    denoiser = gaussian.denoiser(sdes.VP())
    given = ScoreFlowBound(times=own)(key, denoiser, images)
    named = ScoreFlowBound()(key, denoiser, images)
    assert (given.nats == named.nats).all()
