"""With the exact denoiser, every sampler draws from the data distribution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.metrics import energy_distance, sliced_wasserstein

SAMPLES = 4096

SAMPLERS = {
    "euler_maruyama": {},
    "reverse_diffusion": {},
    "ancestral_sampling": {},
    "ancestral_sampling, forward variance": {"name": "ancestral_sampling", "variance": "forward"},
    "euler_maruyama, probability flow": {"name": "euler_maruyama", "probability_flow": True},
    "reverse_diffusion, probability flow": {"name": "reverse_diffusion", "probability_flow": True},
    "pc": {},
    "pc, predictor first": {"name": "pc", "order": "predictor_first"},
    "pc, batch norms": {"name": "pc", "norm": "batch"},
    "pc, ald": {"name": "pc", "predictor": "euler_maruyama", "corrector": "ald"},
    "probability_flow": {"rtol": 1e-4, "atol": 1e-4},
}


def make(label):
    options = dict(SAMPLERS[label])
    return samplers.get(options.pop("name", label), **options)


@pytest.fixture(scope="module")
def exact(mixture):
    """Exact samples, the noise floor of their distance to another such set, and log p."""
    x, y = (mixture.sample(jax.random.key(seed), SAMPLES) for seed in (10, 11))
    return x, sliced_wasserstein(jax.random.key(0), x, y), mixture.log_prob


def check(x, exact):
    truth, floor, log_prob = exact
    error = np.sqrt(np.diag(np.cov(truth.T)) / SAMPLES)
    np.testing.assert_allclose(x.mean(axis=0), truth.mean(axis=0), atol=7 * error.max())
    np.testing.assert_allclose(np.cov(x.T), np.cov(truth.T), atol=0.06)
    assert sliced_wasserstein(jax.random.key(0), x, truth) < 2.5 * floor
    assert energy_distance(x, truth) < 1e-3
    # The mean log density feels the width of every mode; its standard error here is 0.02.
    assert abs(log_prob(x).mean() - log_prob(truth).mean()) < 0.1


@pytest.mark.parametrize("label", list(SAMPLERS))
def test_every_sampler_reaches_a_mixture(label, mixture, exact):
    denoiser = mixture.denoiser(sdes.VP())
    steps = {} if label == "probability_flow" else {"steps": 1000}
    samples = samplers.sample(jax.random.key(2), make(label), denoiser, (SAMPLES, 2), **steps)
    check(samples.x, exact)


@pytest.mark.parametrize("label", ["euler_maruyama", "reverse_diffusion", "ancestral_sampling"])
@pytest.mark.parametrize("name", ["subvp", "ve", "edm", "cosine", "rectified_flow", "discrete_vp"])
def test_every_process_reaches_a_mixture(name, label, mixture, exact):
    sde = sdes.SDES[name]()
    grid = "edm" if name == "edm" else "uniform"
    samples = samplers.sample(
        jax.random.key(2), make(label), mixture.denoiser(sde), (SAMPLES, 2), steps=1000, grid=grid
    )
    check(samples.x, exact)


@pytest.mark.parametrize("name", ["subvp", "ve", "edm", "cosine", "rectified_flow", "discrete_vp"])
def test_probability_flow_of_every_process(name, mixture, exact):
    sampler = make("probability_flow")
    denoiser = mixture.denoiser(sdes.SDES[name]())
    check(samplers.sample(jax.random.key(2), sampler, denoiser, (SAMPLES, 2)).x, exact)


@pytest.mark.parametrize("name", ["vp", "ve"])
def test_annealed_langevin_alone_reaches_a_gaussian(name, gaussian):
    """Without a predictor, as NCSN samples: mean and covariance, in four dimensions."""
    sde = sdes.SDES[name]()
    sampler = samplers.get("pc", predictor="none", corrector="ald", snr=0.3, corrector_steps=25)
    x = samplers.sample(
        jax.random.key(0), sampler, gaussian.denoiser(sde), (SAMPLES, 2, 2, 1), steps=200
    ).x
    truth = gaussian.sample(jax.random.key(1), SAMPLES)
    x, truth = x.reshape(SAMPLES, 4), truth.reshape(SAMPLES, 4)
    np.testing.assert_allclose(x.mean(axis=0), truth.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(x.T), np.cov(truth.T), atol=0.05)


def test_a_wrong_score_is_noticed(mixture, exact):
    """The check above can fail: with the score 12 % too large it does."""
    from scoresde.denoiser import Denoiser
    from scoresde.predictions import Noise

    truth = mixture.denoiser(sdes.VP())

    def network(params, x, condition, labels):
        return 1.12 * truth(x, condition / 999).noise

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    x = samplers.sample(
        jax.random.key(2), make("reverse_diffusion"), denoiser, (SAMPLES, 2), steps=1000
    ).x
    with pytest.raises(AssertionError):
        check(x, exact)


def test_noise_is_left_in_only_on_request(gaussian):
    """VE at t_min still has sigma_min of noise: Tweedie and the last mean remove it."""
    sde = sdes.VE(sigma_min=0.3)
    x = {}
    for denoise in ("none", "tweedie", "last_mean"):
        sampler = samplers.get("reverse_diffusion", denoise=denoise)
        out = samplers.sample(
            jax.random.key(0), sampler, gaussian.denoiser(sde), (SAMPLES, 2, 2, 1), steps=300
        )
        x[denoise] = out.x.reshape(SAMPLES, 4)
    directions, variances = gaussian.directions[0], gaussian.variances[0]
    blurred = directions @ jnp.diag(variances + 0.09) @ directions.T
    shrunk = directions @ jnp.diag(variances**2 / (variances + 0.09)) @ directions.T
    np.testing.assert_allclose(np.cov(x["none"].T), blurred, atol=0.05)
    np.testing.assert_allclose(np.cov(x["tweedie"].T), shrunk, atol=0.05)
    np.testing.assert_allclose(x["tweedie"], x["last_mean"], atol=1e-3)  # the same rule for VE
