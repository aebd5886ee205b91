"""The bound of a chain against Gaussian conditioning in float64, DDPM's formulas, and its limit."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_truth import gaussian_mass
from scipy import stats

from scoresde import Denoiser, analytic, cli, sdes, times, variances
from scoresde.likelihood import DDPMBound
from scoresde.likelihood.bounds import prior_cost
from scoresde.likelihood.bounds.decoders import gaussian_decoder_cost
from scoresde.likelihood.bounds.steps import mean_cost, variance_cost
from scoresde.predictions import Index, Noise, Prediction
from scoresde.registry import UsageError, UsageWarning
from scoresde.sdes import expand

BINS = 5
LEVELS = np.arange(BINS)[:, None]
X = LEVELS[:, 0] / 2 - 1
VARIANCE = 0.3
DATA = analytic.gaussian([0.0], [[VARIANCE]])


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
    std = np.sqrt(q_variance)  # of the decoder, as in DDPM's code, that of the step before it
    alpha, sigma = alpha[-1], sigma[-1]
    shrink = alpha * VARIANCE / (alpha**2 * VARIANCE + sigma**2)
    e = np.linspace(-8, 8, 4001)
    for k in range(BINS):
        mass = gaussian_mass(k, BINS, shrink * (alpha * X[k] + sigma * e), std)
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
    options = {"grid": grid, "variance": variance, "repeats": 4}
    bound = DDPMBound(**options)(key, DATA.denoiser(sde), levels, bins=BINS)
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
        for name, used in (("posterior", tilde), ("forward", beta[1:])):
            variance, zero = variances.get(name), jnp.zeros((num - 1, 1))
            off_by_one = Prediction(-jnp.sqrt(1 / alpha_bar[1:, None] - 1), zero + 1)
            of_means = mean_cost(sde, variance, t[1:], t[:-1], off_by_one, zero, zero)
            expected = beta[1:] ** 2 / (2 * used * (1 - beta[1:]) * (1 - alpha_bar[1:]))
            np.testing.assert_allclose(of_means[:, 0], expected, rtol=1e-9)
            of_variances = variance_cost(sde, variance, t[1:], t[:-1], None)
            expected = 0.5 * (tilde / used - 1 - np.log(tilde / used))
            np.testing.assert_allclose(of_variances, expected, rtol=1e-9, atol=1e-15)


IMPROVED = np.load(pathlib.Path(__file__).parents[2] / "data" / "golden" / "iddpm_linear_T50.npz")
VARIANCES = {"posterior": "fixed_small", "forward": "fixed_large", "learned": "learned_range"}


@pytest.mark.parametrize("name", VARIANCES)
def test_every_step_of_improved_ddpm(name):
    """KL divergences in float64 to the last digits; its decoder's normal is approximate."""
    sde, variance = sdes.DiscreteVP(num_scales=50), variances.get(name)
    kind = Noise(learned_variance=True)

    def of_steps(x0, noise, output, number):
        """Bits/dim of the steps from the levels `number`; of level 0, of the decoder."""
        t = jnp.asarray(number / 49)
        prediction = kind.read(sde, sde.perturb(x0, noise, t), t, output)
        step = jnp.maximum(t, 1 / 49), jnp.maximum(t - 1 / 49, 0.0), prediction
        of_means = mean_cost(sde, variance, *step, x0, noise)
        of_variances = expand(variance_cost(sde, variance, *step), x0)
        std = jnp.sqrt(variance.of_decoder(sde, 0.0, 1 / 49, prediction))
        images = jnp.round((x0 + 1) * 127.5).astype(int)
        decoder = gaussian_decoder_cost(images, prediction.x0, std, 256, (-1, 1))
        cost = jnp.mean(of_means + of_variances, axis=(1, 2, 3))
        return jnp.where(number == 0, decoder / x0[0].size, cost) / np.log(2)

    def channels_last(name):
        return jnp.asarray(np.moveaxis(IMPROVED[name], -3, -1), float)

    with jax.enable_x64(True):
        # Single steps of six images, then all steps of two, of a network in closed form.
        x0, noise = (channels_last(f"{name}_nchw") for name in ("x0", "noise"))
        of_all, noise_of_all = channels_last("bpd/x0_nchw"), channels_last("bpd/noise_tnchw")
        number = np.concatenate([IMPROVED["t"], np.repeat(np.arange(50), 2)])
        x0 = jnp.concatenate([x0, *[of_all] * 50])
        noise = jnp.concatenate([noise, jnp.reshape(noise_of_all, (100, *x0.shape[1:]))])
        x = sde.perturb(x0, noise, jnp.asarray(number / 49))
        fed = expand(IMPROVED["fed_timesteps"][49 - number] / 1000, x)  # the last step stands first
        output = jnp.concatenate([0.1 * x + 0.02 + 0.3 * fed, 0.2 * x - 0.3], axis=-1)
        output = output.at[:6].set(channels_last("output_nchw"))

        cost = np.asarray(jax.jit(of_steps)(x0, noise, output, number))
        single = IMPROVED[f"f64/vb_terms_bpd/{VARIANCES[name]}/noclip"]
        whole = IMPROVED[f"f64/bpd/{VARIANCES[name]}/noclip/vb"][:, ::-1]
        expected = np.concatenate([single, whole.T.ravel()])
        np.testing.assert_allclose(cost[number > 0], expected[number > 0], rtol=1e-9)
        np.testing.assert_allclose(cost[number == 0], expected[number == 0], atol=1e-3)
        prior = prior_cost(sde, of_all) / of_all[0].size / np.log(2)
        total = IMPROVED[f"f64/bpd/{VARIANCES[name]}/noclip/total_bpd"]
        np.testing.assert_allclose(prior + cost[6:].reshape(50, 2).sum(axis=0), total, atol=1e-3)


@pytest.mark.parametrize("variance", ["posterior", "forward"])
def test_a_subset_of_the_steps_is_unbiased(variance, key):
    """What the variances cost is known of all steps, and adds nothing to the error."""
    sde, t_min = sdes.VP(), 0.05
    levels = jnp.repeat(jnp.asarray(LEVELS), 200, axis=0)
    bound = DDPMBound(steps=24, samples=7, repeats=4, t_min=t_min, variance=variance)(
        key, DATA.denoiser(sde), levels, bins=BINS
    )
    nats = np.asarray(bound.nats).reshape(BINS, 200)
    expected = -chain(sde, np.asarray(times.make_grid(sdes.VP(t_min=t_min), 24, None)), variance)
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
        bound = DDPMBound(steps=steps, grid="log_snr", repeats=repeats)(
            key, DATA.denoiser(sde), levels, bins=BINS
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
    bound = DDPMBound(steps=1000, grid="edm")(key, data.denoiser(sdes.VP()), levels, bins=BINS)
    nats = np.asarray(bound.nats).reshape(BINS, 40)
    error = nats.mean(axis=1) - np.log(probabilities)
    assert (np.abs(error) < 4 * nats.std(axis=1) / np.sqrt(40) + 0.02).all()
    assert np.isnan(bound.stderr).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"steps": 3, "variance": "lerned"}, "Unknown variance.*Did you mean 'learned'"),
        ({"steps": 3, "variance": "learned"}, "needs a network that predicts one"),
        ({}, "positive number of steps"),
        ({"steps": 3, "samples": 0}, "samples must be"),
        ({"grid": [1.0, 1.5]}, "decreasing"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message, key):
    with pytest.raises(UsageError, match=message):
        DDPMBound(**options)(key, DATA.denoiser(sdes.VP()), LEVELS, bins=BINS)


def _discrete(params, x, index, condition=None):
    return 0.1 * x


@pytest.mark.parametrize("steps, warned", [(4, True), (3, False), (5, True)])
def test_a_chain_between_the_levels_of_a_network_is_warned_of(steps, warned, key, recwarn):
    prediction = Noise(time_input=Index(num_scales=7))
    denoiser = Denoiser(sdes.DiscreteVP(num_scales=7, beta_max=5.0), prediction, _discrete, None)
    DDPMBound(steps=steps)(key, denoiser, LEVELS, bins=BINS)
    found = [str(w.message) for w in recwarn if issubclass(w.category, UsageWarning)]
    assert len(found) == warned
    assert not warned or ("the 7 noise levels" in found[0] and "6 steps visit every" in found[0])


def test_a_warning_for_the_user_is_a_line_on_the_command_line():
    for category, start in ((UsageWarning, "scoresde: warning: it"), (UserWarning, "here:3: ")):
        text = cli._format_warning("it", category, "here", 3)
        assert text.startswith(start)
        assert category is UserWarning or text.count("\n") == 1
