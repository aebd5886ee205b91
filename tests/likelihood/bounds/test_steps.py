"""The bound of a chain against Gaussian conditioning in float64, DDPM's formulas, and its limit."""

import improved_ddpm
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_truth import gaussian_mass
from scipy import stats

from scoresde import Denoiser, analytic, cli, sdes, times, variances
from scoresde.guidance import ClipX0
from scoresde.likelihood import GAUSSIAN_DECODERS, DDPMBound
from scoresde.likelihood.bounds import prior_cost
from scoresde.likelihood.bounds.step_costs import chain_cost, mean_cost, variance_cost
from scoresde.predictions import Index, Noise, Prediction, with_x0
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


@pytest.mark.parametrize("name", improved_ddpm.CASES)
def test_every_step_of_improved_ddpm(name):
    """Single steps, then all steps of two images under a network in closed form, in float64.

    With its approximate normal distribution in the decoder, all to the last digits, the bound as a
    whole among it; with the exact one, what is published of it.
    """
    with jax.enable_x64(True):
        golden = improved_ddpm.Golden(name)
        sde, num = golden.sde, len(golden.times)
        x0, noise, of_all = golden["x0"], golden["noise"], golden["bpd/x0"]
        singles, images = len(x0), len(of_all)
        number = np.concatenate([golden.level, np.repeat(np.arange(num), images)])
        x0 = jnp.concatenate([x0, *[of_all] * num])
        noise = jnp.concatenate([noise, golden["bpd/noise"].reshape(-1, *x0.shape[1:])])
        t = jnp.asarray(golden.times[number])
        x = sde.perturb(x0, noise, t)
        fed = expand(golden.arrays["fed_timesteps"][num - 1 - number] / 1000, x)  # last step first
        output = jnp.concatenate([0.1 * x + 0.02 + 0.3 * fed, 0.2 * x - 0.3], axis=-1)
        output = output.at[:singles].set(golden["output"])

        @jax.jit
        def bits(output):
            read, found = improved_ddpm.KIND.read(sde, x, t, output), {}
            clipped = with_x0(read, sde, t, jnp.clip(read.x0, -1, 1))
            for clip, prediction in (("clip", clipped), ("noclip", read)):
                for kind, published in improved_ddpm.VARIANCES.items():
                    for normal, decoder in GAUSSIAN_DECODERS.items():
                        chain = sde, variances.get(kind), decoder, jnp.asarray(golden.times)
                        nats = chain_cost(*chain, number, prediction, x0, noise, 256, (-1, 1))
                        found[f"{published}/{clip}", normal] = nats / x0[0].size / np.log(2)
            prior = prior_cost(sde, of_all, golden.times[-1], 1.0)
            return found, prior / of_all[0].size / np.log(2)

        found, prior = bits(output)
        for (case, normal), cost in found.items():
            single, whole = cost[:singles], cost[singles:].reshape(num, images)
            if normal == "tanh":
                np.testing.assert_allclose(single, golden[f"f64/vb_terms_bpd/{case}"], rtol=1e-9)
                vb = golden[f"f64/bpd/{case}/vb"][:, ::-1].T
                np.testing.assert_allclose(whole, vb, rtol=1e-9)
                expected = golden[f"f64/bpd/{case}/prior_bpd"]  # a difference of numbers like 1
                np.testing.assert_allclose(prior, expected, rtol=1e-9, atol=1e-16)
                total = golden[f"f64/bpd/{case}/total_bpd"]
                np.testing.assert_allclose(prior + whole.sum(axis=0), total, rtol=1e-9)
            elif not case.endswith("noclip"):
                last = golden.level == 0
                expected = golden[f"exact/decoder_bpd/{case}"][last]
                np.testing.assert_allclose(single[last], expected, rtol=1e-9)


def test_the_published_clipping_and_decoder_are_options_of_the_bound(key):
    """Clipped is what a clipped denoiser has; only the reconstruction knows the decoder."""
    golden = improved_ddpm.Golden("linear_T50")
    images = np.round((np.asarray(golden["bpd/x0"]) + 1) * 127.5).astype(int)
    denoiser = Denoiser(golden.sde, improved_ddpm.KIND, _analytic, None)
    bounds = {
        name: DDPMBound(steps=49, variance="learned", samples=5, **options)(key, given, images)
        for name, given, options in (
            ("clip", denoiser, {"clip": True}),
            ("clipped", ClipX0(denoiser), {}),
            ("tanh", denoiser, {"decoder": "tanh"}),
            ("exact", denoiser, {}),
        )
    }
    np.testing.assert_allclose(bounds["clip"].nats, bounds["clipped"].nats, rtol=1e-5)
    assert (bounds["clip"].diffusion < 0.9 * bounds["exact"].diffusion).all()
    np.testing.assert_array_equal(bounds["tanh"].diffusion, bounds["exact"].diffusion)
    difference = bounds["tanh"].reconstruction / bounds["exact"].reconstruction - 1
    assert (abs(difference) > 1e-7).all() and (abs(difference) < 1e-2).all()


def _analytic(params, x, noise_condition, condition=None):
    return jnp.concatenate([0.1 * x + 0.02, 0.2 * x - 0.3], axis=-1)


def test_a_chain_that_starts_later_pays_for_what_is_left_of_the_data(key):
    """The prior's cost where it starts, by hand: at 0.4 it is large, at t_max next to nothing."""
    levels, sde = jnp.asarray(LEVELS), sdes.VP(t_min=0.05)
    bound = DDPMBound(grid=[0.4, 0.2, 0.05])(key, DATA.denoiser(sde), levels, bins=BINS)
    expected = 0.5 * (sde.alpha(0.4) * X / (sde.sigma(0.4) / sde.sigma(1.0))) ** 2
    np.testing.assert_allclose(bound.prior, expected, rtol=1e-3, atol=1e-4)
    assert bound.prior.max() > 0.1


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
        ({"steps": 3, "decoder": "erf"}, "Unknown decoder 'erf'.*Known: exact, tanh"),
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
