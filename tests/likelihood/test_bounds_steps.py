"""ddpm_bound against Gaussian conditioning in float64, DDPM's formulas, and its limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from scoresde import analytic, likelihood, sdes, times
from scoresde.likelihood.bounds.decoders import gaussian_decoder_cost
from scoresde.likelihood.bounds.steps import _step_coefficients
from scoresde.registry import UsageError

BINS = 5
LEVELS = np.arange(BINS)[:, None]
X = LEVELS[:, 0] / 2 - 1
VARIANCE = 0.3
DATA = analytic.gaussian([0.0], [[VARIANCE]])


def gaussian_mass(k, mean, std):
    """Equation 13 of DDPM in float64, edge bins to infinity."""
    low = -np.inf if k == 0 else (X[k] - 0.25 - mean) / std
    high = np.inf if k == BINS - 1 else (X[k] + 0.25 - mean) / std
    return np.where(  # in the tail where the digits are
        low + high > 0,
        stats.norm.cdf(-low) - stats.norm.cdf(-high),
        stats.norm.cdf(high) - stats.norm.cdf(low),
    )


def chain(sde, grid, variance):
    """prior + diffusion + reconstruction of each level, by conditioning of Gaussians.

    Joint moments of (x_s, x_t) given x_0 come from the forward transition; the KL divergences are
    between the regression of x_s on x_t and the chain's step, averaged over x_t.
    """
    with jax.enable_x64(True):
        both = jax.jit(lambda t: jnp.stack([sde.alpha(t), sde.sigma(t)]))
        alpha, sigma = np.asarray(both(np.asarray(grid, np.float64)))
    std = float(sde.prior_std)
    square = (alpha[0] * X) ** 2 + sigma[0] ** 2
    total = 0.5 * (square / std**2 - 1 - 2 * np.log(sigma[0] / std))
    for alpha_t, sigma_t, alpha_s, sigma_s in zip(alpha[:-1], sigma[:-1], alpha[1:], sigma[1:]):
        a = alpha_t / alpha_s
        noise = sigma_t**2 - a**2 * sigma_s**2
        # q(x_s | x_t, x_0): Cov(x_s, x_t) = a sigma_s^2, Var(x_t) = sigma_t^2.
        gain = a * sigma_s**2 / sigma_t**2
        q_variance = sigma_s**2 - gain * a * sigma_s**2
        p_variance = q_variance if variance == "posterior" else noise
        # Its mean at x_0 less its mean at the denoiser's x_0 = shrink x_t.
        slope = alpha_s - gain * alpha_t
        shrink = alpha_t * VARIANCE / (alpha_t**2 * VARIANCE + sigma_t**2)
        square = (X - shrink * alpha_t * X) ** 2 + (shrink * sigma_t) ** 2
        ratio = q_variance / p_variance
        total += 0.5 * (slope**2 * square / p_variance + ratio - 1 - np.log(ratio))
    std = sigma[-1] if variance == "forward" else np.sqrt(q_variance)
    alpha, sigma = alpha[-1], sigma[-1]
    shrink = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2)
    e = np.linspace(-8, 8, 4001)
    for k in range(BINS):
        mass = gaussian_mass(k, shrink * (alpha * X[k] + sigma * e), std)
        total[k] -= np.trapezoid(stats.norm.pdf(e) * np.log(mass), e)
    return total


@pytest.mark.parametrize(
    "name, variance",
    [
        ("discrete_vp", "posterior"),
        ("vp", "forward"),
        ("ve", "posterior"),
        ("rectified_flow", "posterior"),  # from t = 1, where nothing of the data is left
        ("subvp", "forward"),
        ("cosine", "forward"),
    ],
)
def test_every_term_by_gaussian_conditioning(name, variance, any_process, key):
    discrete = name == "discrete_vp"
    sde = sdes.DiscreteVP(num_scales=12, beta_max=11.0) if discrete else any_process(name)
    grid = np.linspace(sde.t_max, 0.2, 9)
    levels = jnp.repeat(jnp.asarray(LEVELS), 200, axis=0)
    options = {"grid": grid, "variance": variance, "bins": BINS, "repeats": 4}
    bound = likelihood.ddpm_bound(key, DATA.denoiser(sde), levels, **options)
    nats = np.asarray(bound.nats).reshape(BINS, 200)
    error = nats.mean(axis=1) + chain(sde, np.float32(grid), variance)
    assert (np.abs(error) < 4 * nats.std(axis=1) / np.sqrt(200) + 1e-4).all()
    # Calibration: the reported errors are those that the 200 repetitions show.
    reported = np.sqrt((np.asarray(bound.stderr).reshape(BINS, 200) ** 2).mean(axis=1))
    np.testing.assert_allclose(reported, nats.std(axis=1), rtol=0.25)
    assert (bound.nfe == 4 * 9).all()


def test_the_weights_are_ddpms():
    """Equation 12: beta_t^2 / (2 variance alpha_t (1 - alpha_bar_t)) on the noise's error."""
    num = 30
    beta = np.linspace(0.1 / num, 20 / num, num)
    alpha_bar = np.cumprod(1 - beta)
    sde = sdes.DiscreteVP(num_scales=num)
    t = np.arange(num) / (num - 1)
    tilde = beta[1:] * (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:])
    with jax.enable_x64(True):
        for variance, used in (("posterior", tilde), ("forward", beta[1:])):
            factor, ratio = _step_coefficients(sde, t[1:], t[:-1], variance)
            on_noise = factor * (1 - alpha_bar[1:]) / alpha_bar[1:]
            expected = beta[1:] ** 2 / (2 * used * (1 - beta[1:]) * (1 - alpha_bar[1:]))
            np.testing.assert_allclose(on_noise, expected, rtol=1e-9)
            np.testing.assert_allclose(ratio, tilde / used, rtol=1e-9)


def test_a_subset_of_the_steps_is_unbiased(key):
    sde, t_min = sdes.VP(), 0.05
    levels = jnp.repeat(jnp.asarray(LEVELS), 200, axis=0)
    bound = likelihood.ddpm_bound(
        key, DATA.denoiser(sde), levels, steps=24, bins=BINS, samples=7, repeats=4, t_min=t_min
    )
    nats = np.asarray(bound.nats).reshape(BINS, 200)
    expected = -chain(sde, np.asarray(times.make_grid(sdes.VP(t_min=t_min), 24, None)), "posterior")
    assert (np.abs(nats.mean(axis=1) - expected) < 4 * nats.std(axis=1) / np.sqrt(200)).all()
    assert (bound.nfe == 4 * 8).all()


def test_the_diffusion_cost_tends_to_the_continuous_one_at_first_order(key):
    """Twice the steps, half the excess over 1/2 int E||noise error||^2 d(-log_snr)."""
    sde = sdes.VP(t_min=0.01)
    levels = jnp.repeat(jnp.asarray(LEVELS), 400, axis=0)
    log_snr = np.linspace(*(float(sde.log_snr(t)) for t in (sde.t_min, sde.t_max)), 20_001)
    ratio = np.exp(-log_snr)  # sigma^2 / alpha^2
    error = (ratio * X[:, None] ** 2 + VARIANCE**2) / (VARIANCE + ratio) ** 2
    limit = -0.5 * np.trapezoid(error, log_snr, axis=1)
    excess = []
    for steps, repeats in ((16, 16), (32, 16)):
        bound = likelihood.ddpm_bound(
            key,
            DATA.denoiser(sde),
            levels,
            steps=steps,
            grid="log_snr",
            bins=BINS,
            repeats=repeats,
        )
        diffusion = np.asarray(bound.diffusion).reshape(BINS, -1)
        excess.append(np.mean(diffusion.mean(axis=1) - limit))
        noise = np.asarray(bound.stderr).mean() / np.sqrt(levels.shape[0])
    assert excess[1] > 8 * noise
    assert 1.75 < excess[0] / excess[1] < 2.4


def test_many_steps_give_the_probability_of_each_image(key):
    """Data on a grid under their exact denoiser: the chain's limit loses nothing."""
    probabilities = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
    data = analytic.GaussianMixture(probabilities, X[:, None], np.zeros((BINS, 1, 1)))
    levels = jnp.repeat(jnp.asarray(LEVELS), 40, axis=0)
    bound = likelihood.ddpm_bound(
        key, data.denoiser(sdes.VP()), levels, steps=1000, grid="edm", bins=BINS
    )
    nats = np.asarray(bound.nats).reshape(BINS, 40)
    error = nats.mean(axis=1) - np.log(probabilities)
    assert (np.abs(error) < 4 * nats.std(axis=1) / np.sqrt(40) + 0.02).all()
    assert np.isnan(bound.stderr).all()


def test_the_gaussian_decoder_to_the_last_digit():
    """Against float64, from bins that hold everything to bins far in a tail."""
    levels = jnp.asarray(LEVELS)
    decoder_cost = jax.jit(
        lambda mean, std: gaussian_decoder_cost(levels, 0 * levels + mean, std, BINS, (-1, 1))
    )
    for mean, std in ((0.1, 0.02), (-0.93, 0.3), (0.5, 2.0), (0.0, 1e-3)):
        cost = decoder_cost(mean, std)
        mass = np.array([gaussian_mass(k, mean, std) for k in range(BINS)])
        with np.errstate(divide="ignore"):
            expected = -np.log(mass)
        seen = mass > 1e-300
        np.testing.assert_allclose(np.asarray(cost)[seen], expected[seen], rtol=2e-4, atol=1e-6)
        assert np.isfinite(cost).all()
        np.testing.assert_allclose(np.exp(-np.asarray(cost, np.float64)).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 3, "variance": "learned"}, "Unknown variance"),
        ({}, "positive number of steps"),
        ({"steps": 3, "samples": 0}, "samples must be"),
        ({"grid": [1.0, 1.5]}, "decreasing"),
    ],
)
def test_mistakes(options, message, key):
    with pytest.raises(UsageError, match=message):
        likelihood.ddpm_bound(key, DATA.denoiser(sdes.VP()), LEVELS, bins=BINS, **options)
