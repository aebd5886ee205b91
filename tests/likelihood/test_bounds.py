"""The bounds against closed forms: Gaussian data, and images whose every probability is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scoresde import analytic, likelihood, sdes, times
from scoresde.keys import sample_keys
from scoresde.likelihood import bounds
from scoresde.registry import UsageError

PROCESSES = ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"]


@pytest.fixture(scope="module")
def process(any_process):
    """name -> a process that shares its programs, with an end at which log_snr is finite."""

    def named(name):
        sde = any_process(name)
        return dataclasses.replace(sde, t_max=0.9999) if name == "rectified_flow" else sde

    return named


@pytest.fixture(scope="module")
def images(gaussian):
    """32 images of the Gaussian."""
    return gaussian.sample(jax.random.key(1), 32)


@pytest.fixture(scope="module")
def binary_images():
    """Images of two pixels and five levels, with a probability for each of the 25."""
    levels = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(25, 2)
    probabilities = np.random.default_rng(1).dirichlet(np.ones(25))
    data = analytic.GaussianMixture(probabilities, levels / 2 - 1, np.zeros((25, 2, 2)))
    return levels, probabilities, data


def assert_unbiased(values, stderr, truth, bias=0.0, sigmas=4.5):
    """Each value within its own error of the truth, and their mean within that of the mean."""
    error, stderr = np.asarray(values) - np.asarray(truth), np.asarray(stderr)
    assert (np.abs(error) < 1.6 * sigmas * stderr + bias).all()  # Student's t has heavy tails
    assert abs(error.mean()) < sigmas * np.sqrt((stderr**2).mean() / error.size) + bias


class GaussianTruth:
    """What a Gaussian's bound consists of, in float64, from its eigenvalues."""

    def __init__(self, data, sde, x):
        self.sde = sde
        self.variance = np.asarray(data.variances[0], np.float64)
        offset = np.reshape(x, (len(x), -1)) - np.asarray(data.means[0])
        self.offset = np.asarray(offset, np.float64) @ np.asarray(data.directions[0], np.float64)
        self.x = np.reshape(np.asarray(x, np.float64), (len(x), -1))

    def at(self, t):
        with jax.enable_x64(True):
            both = jax.jit(lambda t: jnp.stack([self.sde.alpha(t), self.sde.sigma(t)]))
            return np.asarray(both(np.float64(t)))

    def noise_error(self, alpha, sigma):
        """E||noise - predicted||^2 given x, from predicted = sigma (x_t - alpha m) / V."""
        total = alpha**2 * self.variance + sigma**2
        square = (alpha * sigma * self.offset) ** 2 + (alpha**2 * self.variance) ** 2
        return np.sum(square / total**2, axis=-1)

    def diffusion(self, t_min, nodes=2000):
        """The integral over the log-SNR, in which g^2 / sigma^2 dt = -d log_snr."""
        log_snr = [2 * np.log(a / s) for a, s in map(self.at, (t_min, self.sde.t_max))]
        grid = np.linspace(log_snr[0], log_snr[1], nodes)
        # The error depends on the ratio of alpha and sigma alone.
        values = self.noise_error(1.0, np.exp(-0.5 * grid)[:, None, None])
        return -0.5 * np.trapezoid(values, grid, axis=0)

    def prior(self):
        alpha, sigma = self.at(self.sde.t_max)
        std = float(self.sde.prior_std)
        square = (alpha * self.x / std) ** 2
        return 0.5 * np.sum(square + (sigma / std) ** 2 - 1 - 2 * np.log(sigma / std), axis=1)


@pytest.mark.parametrize("name", PROCESSES)
def test_score_flow_bound_is_tight_for_the_exact_score(name, process, gaussian, images, key):
    """Every part against its closed form, and their sum against log p."""
    sde = process(name)
    bound = likelihood.score_flow_bound(key, gaussian.denoiser(sde), images)
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


def test_the_priors_cost_where_much_is_left_of_the_data(gaussian, images):
    """Also of processes that stop early: the KL divergence of two normals in float64."""
    for sde in (sdes.VP(t_max=0.3), sdes.SubVP(t_max=0.4), sdes.VE(t_max=0.8)):
        truth = GaussianTruth(gaussian, sde, images)
        np.testing.assert_allclose(bounds.prior_cost(sde, images), truth.prior(), rtol=1e-5)


def test_the_sliced_form_has_the_same_expectation(process, gaussian, images, key):
    denoiser = gaussian.denoiser(process("vp"))
    bound = likelihood.score_flow_bound(key, denoiser, images, form="ssm", probes=2)
    assert_unbiased(bound.nats, bound.stderr, gaussian.log_prob(images), bias=2e-3)


def test_uniform_times_give_the_same_expectation(gaussian, images, key):
    """At t_min = 0.05: the variance of uniform times grows as it falls."""
    sde = sdes.VP(t_min=0.05)
    bound = likelihood.score_flow_bound(key, gaussian.denoiser(sde), images, times="stratified")
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
    without = likelihood.score_flow_bound(
        key, gaussian.denoiser(sde), images, offset=False, **options
    )
    assert_unbiased(without.nats, without.stderr, blurred, bias=1e-3)

    bound = likelihood.score_flow_bound(key, gaussian.denoiser(sde), images, **options)
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
            bound = likelihood.score_flow_bound(
                jax.random.fold_in(key, number), denoiser, images, **options
            )
            z.append((np.asarray(bound.nats) - truth) / np.asarray(bound.stderr))
        assert abs(np.mean(z)) < 4.5 * 1.07 / np.sqrt(256) + 2e-3
        assert 0.92 < np.std(z) < 1.23  # 1.07


@pytest.mark.parametrize("name", [name for name in PROCESSES if name != "edm"])
def test_vdm_bound_is_the_probability_of_each_image(name, process, binary_images, key):
    """Data on a grid under their exact denoiser, little noise at t_min: nothing is lost."""
    levels, probabilities, data = binary_images
    sde = process(name)
    bound = likelihood.vdm_bound(key, data.denoiser(sde), levels, bins=5)
    prior = GaussianTruth(data, sde, levels / 2 - 1).prior()
    np.testing.assert_allclose(bound.prior, prior, rtol=1e-3, atol=1e-6)
    assert_unbiased(bound.nats, bound.stderr, np.log(probabilities), bias=2e-3, sigmas=5)


def test_vdm_bound_of_data_with_a_density(key):
    """One pixel: E[log p_tmin(z) + log p(k | z) - log q(z | k)] over z by numerical integration."""
    bins, sde, t_min = 8, sdes.VP(), 0.02
    data = analytic.GaussianMixture([0.6, 0.4], [[-0.4], [0.5]], [[[0.04]], [[0.09]]])
    levels = np.arange(bins)[:, None]
    bound = likelihood.vdm_bound(
        key, data.denoiser(sde), levels, bins=bins, t_min=t_min, samples=256
    )
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


def test_the_marginal_decoder_by_numerical_integration():
    bins = 6
    levels = jnp.arange(bins)[:, None]
    cost = jax.jit(lambda snr: bounds.marginal_decoder_cost(levels, snr, bins, (-1, 1)))
    e = np.linspace(-10, 10, 20_001)
    for snr in (0.3, 30.0, 1e3, 1e9):
        values = np.sqrt(snr) * (-1 + 2 * np.arange(bins) / (bins - 1))
        expected = []
        for value in values:
            logits = -0.5 * (value + e[:, None] - values) ** 2
            log_prob = -0.5 * e**2 - np.logaddexp.reduce(logits, axis=1)
            expected.append(-np.trapezoid(stats.norm.pdf(e) * log_prob, e))
        np.testing.assert_allclose(cost(snr), expected, rtol=1e-4, atol=2e-6)


def test_importance_bound():
    """K samples of a wide proposal: rising towards log p, exact for a constant."""
    log_weights = jnp.full((7, 3), -2.0)
    np.testing.assert_allclose(likelihood.importance_bound(log_weights), -2.0, rtol=1e-6)
    rng = np.random.default_rng(0)
    z = rng.normal(0, 2.0, size=(2000, 64))
    joint = stats.norm.logpdf(z) + stats.norm.logpdf(0.7, z)
    weights = joint - stats.norm.logpdf(z, 0, 2.0)
    log_p = stats.norm.logpdf(0.7, 0, np.sqrt(2))
    one, many = (likelihood.importance_bound(weights[:, :k], axis=1).mean() for k in (1, 64))
    assert one < log_p - 0.3 and log_p - 0.05 < many < log_p + 0.005


def test_a_sample_does_not_depend_on_its_batch(process, gaussian, images, binary_images, key):
    """Alone, or at another place among other neighbours."""
    levels, _, data = binary_images
    vp, keys = gaussian.denoiser(process("vp")), sample_keys(key, 32)
    for options in ({}, {"form": "ssm", "probes": 2}):
        together = likelihood.score_flow_bound(keys, vp, images, **options)
        others = jnp.where(jnp.arange(32)[:, None, None, None] == 3, images, 5.0)[::-1]
        moved = likelihood.score_flow_bound(keys[::-1], vp, others, **options)
        for here, there in zip(together, moved):
            np.testing.assert_allclose(there[28], here[3], rtol=1e-4, atol=1e-4)
        assert np.unique(together.diffusion).size == 32
    vp, grid = data.denoiser(sdes.VP()), {"steps": 10, "samples": 5, "repeats": 2}
    together = likelihood.ddpm_bound(key, vp, levels, bins=5, **grid)
    alone = likelihood.ddpm_bound(keys[3:4], vp, levels[3:4], bins=5, **grid)
    for many, one in zip(together, alone):
        np.testing.assert_allclose(one[0], many[3], rtol=1e-4, atol=1e-4)


def test_the_arithmetic_is_never_less_than_float32(gaussian, key):
    denoiser, x = gaussian.denoiser(sdes.VP()), jnp.ones((2, 2, 2, 1), jnp.bfloat16)
    bound = jax.eval_shape(lambda x: likelihood.score_flow_bound(key, denoiser, x), x)
    assert bound.nats.dtype == bound.stderr.dtype == jnp.float32


@pytest.mark.parametrize(
    "options, message",
    [
        ({"form": "sliced"}, "Unknown form"),
        ({"samples": 0}, "samples must be"),
        ({"repeats": 1.5}, "repeats must be"),
        ({"times": "log_normal"}, "Unknown time distribution"),
        ({"t_min": 1.0}, "t_min must lie"),
        ({"probes": 0}, "probes must be"),
    ],
)
def test_mistakes(options, message, gaussian, images, key):
    with pytest.raises(UsageError, match=message):
        likelihood.score_flow_bound(key, gaussian.denoiser(sdes.VP()), images, **options)


def test_mistakes_about_processes_and_levels(gaussian, images, binary_images, key):
    levels, _, data = binary_images
    vp = gaussian.denoiser(sdes.VP())
    with pytest.raises(UsageError, match="t_max"):
        likelihood.score_flow_bound(key, gaussian.denoiser(sdes.RectifiedFlow()), images)
    with pytest.raises(UsageError, match="no noise"):
        likelihood.score_flow_bound(key, gaussian.denoiser(sdes.VP(t_min=0.0)), images)
    with pytest.raises(UsageError, match="vdm_bound"):
        likelihood.score_flow_bound(key, vp, jnp.ones((2, 2), jnp.uint8))
    for bound in (likelihood.vdm_bound, likelihood.ddpm_bound):
        with pytest.raises(UsageError, match=r"Levels must lie in 0 .. 3"):
            bound(key, data.denoiser(sdes.VP()), levels, bins=4)
        with pytest.raises(UsageError, match="integer levels"):
            bound(key, vp, images)
        with pytest.raises(UsageError, match="bins >= 2"):
            bound(key, data.denoiser(sdes.VP()), levels, data_range=(1, 1))


def test_a_time_distribution_of_ones_own(gaussian, images, key):
    """Anything called like a class of scoresde.times."""
    own = times.LikelihoodImportance
    denoiser = gaussian.denoiser(sdes.VP())
    given = likelihood.score_flow_bound(key, denoiser, images, times=own)
    named = likelihood.score_flow_bound(key, denoiser, images)
    assert (given.nats == named.nats).all()
