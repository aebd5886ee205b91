"""One step of each published update rule, in the formulas of its own paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import fold_in, normal, sample_keys, split
from scoresde.predictions import Noise

N, LEVEL = 1000, 400
S, T = jnp.float32((LEVEL - 1) / (N - 1)), jnp.float32(LEVEL / (N - 1))


@pytest.fixture(scope="module")
def x(key):
    return jax.random.normal(key, (4, 2, 2, 1))


@pytest.fixture(scope="module")
def keys(key):
    return sample_keys(key, 4)


@pytest.fixture(scope="module")
def vp(gaussian):
    return gaussian.denoiser(sdes.DiscreteVP(num_scales=N))


@pytest.fixture(scope="module")
def ve(gaussian):
    return gaussian.denoiser(sdes.VE())


def step(sampler, *arguments):
    """Where one step leads, each of its moves with keys of its own."""
    keys, x, t, s, denoiser = arguments
    keys = [keys] if len(sampler.moves) == 1 else split(keys, len(sampler.moves))
    for move, move_keys in zip(sampler.moves, keys):
        x, _ = move.step(move_keys, x, t, s, denoiser, move.init(x, denoiser, N))
    return x


def close(actual, expected, rtol=1e-5, atol=1e-5):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


def test_predictors_on_the_table_of_ddpm(x, keys, vp):
    beta = np.linspace(0.1 / N, 20 / N, N)[LEVEL]
    score, z = vp.score(x, T), normal(keys, x.shape)
    mean = (2 - np.sqrt(1 - beta)) * x + beta * score
    close(step(samplers.ReverseDiffusion(), keys, x, T, S, vp), mean + np.sqrt(beta) * z)
    mean = (x + beta * score) / np.sqrt(1 - beta)
    ancestral = samplers.AncestralSampling(variance="forward")
    close(step(ancestral, keys, x, T, S, vp), mean + np.sqrt(beta) * z)
    flow = samplers.ReverseDiffusion(probability_flow=True)
    close(step(flow, keys, x, T, S, vp), (2 - np.sqrt(1 - beta)) * x + 0.5 * beta * score)


def test_ancestral_sampling_takes_the_variance_that_is_learned(x):
    """At the ends of its range, that of the posterior and that of the forward step."""
    for end, name in ((-1.0, "posterior"), (1.0, "forward")):

        def network(params, x, noise_condition, condition, end=end):
            return jnp.concatenate([jnp.tanh(x), jnp.full_like(x, end)], axis=-1)

        denoiser = Denoiser(sdes.VP(), Noise(learned_variance=True), network, None)
        learned = samplers.AncestralSampling(variance="learned").moments(x, T, S, denoiser)
        fixed = samplers.AncestralSampling(variance=name).moments(x, T, S, denoiser)
        close(learned[0], fixed[0])
        close(learned[1], jnp.broadcast_to(fixed[1], x.shape))


def test_ddim_is_ancestral_sampling_at_eta_1(x, keys, vp, ve):
    """And in between it is equation 12 of the paper."""
    for denoiser in (vp, ve):
        ancestral = samplers.AncestralSampling().moments(x, T, S, denoiser)
        ddim = samplers.DDIM(eta=1.0).moments(x, T, S, denoiser)
        close(ddim[0], ancestral[0], 1e-4)
        close(ddim[1], ancestral[1], 1e-4)
    alpha_t, alpha_s = (float(vp.sde.alpha(time)) ** 2 for time in (T, S))  # the paper's alphas
    std = 0.5 * np.sqrt((1 - alpha_s) / (1 - alpha_t)) * np.sqrt(1 - alpha_t / alpha_s)
    noise = vp(x, T).noise
    x0 = (x - np.sqrt(1 - alpha_t) * noise) / np.sqrt(alpha_t)
    mean = np.sqrt(alpha_s) * x0 + np.sqrt(1 - alpha_s - std**2) * noise
    moved = step(samplers.DDIM(eta=0.5), keys, x, T, S, vp)
    close(moved, mean + std * normal(keys, x.shape), 1e-4)


def test_predictors_on_the_levels_of_smld(x, keys, ve):
    sigma = np.exp(np.linspace(np.log(0.01), np.log(50), N))
    delta = sigma[LEVEL] ** 2 - sigma[LEVEL - 1] ** 2
    score = ve.score(x, T)
    for predictor, variance in (
        (samplers.ReverseDiffusion(), delta),
        (samplers.AncestralSampling(), sigma[LEVEL - 1] ** 2 * delta / sigma[LEVEL] ** 2),
    ):
        mean, std = predictor.moments(x, T, S, ve)
        close(mean, x + delta * score, atol=0)
        close(std, np.sqrt(variance), 1e-3, 1e-6)


def test_correctors(x, keys, vp, ve):
    """Langevin with batch norms, step 2 alpha (r n_z / n_s)^2, and ALD, 2 alpha (r std)^2."""
    z = normal(fold_in(keys, 0), x.shape)
    beta = np.linspace(0.1 / N, 20 / N, N)[LEVEL]
    for denoiser, alpha in ((vp, 1 - beta), (ve, 1.0)):
        score = denoiser.score(x, T)
        norms = [np.linalg.norm(np.reshape(v, (4, -1)), axis=1).mean() for v in (z, score)]
        sizes = {
            samplers.Langevin(snr=0.16, norm="batch"): 2
            * alpha
            * (0.16 * norms[0] / norms[1]) ** 2,
            samplers.AnnealedLangevin(snr=0.16): 2 * alpha * (0.16 * denoiser.sde.sigma(T)) ** 2,
        }
        a, _ = denoiser.sde.transition(S, T)
        for corrector, size in sizes.items():
            corrected = corrector.correct(keys, x, T, a, denoiser)
            close(corrected, x + size * score + np.sqrt(2 * size) * z, 1e-4)


def test_annealed_langevin_is_ncsns(x, keys, gaussian):
    """Algorithm 1 of arXiv:1907.05600 at its published epsilon, for one level and two steps."""
    sde = sdes.VE(sigma_min=0.01, sigma_max=1.0)
    denoiser, t = gaussian.denoiser(sde), jnp.float32(0.5)
    size = 2e-5 * float(sde.sigma(t)) ** 2 / 0.01**2
    expected = x
    for number in range(2):
        z = normal(fold_in(keys, number), x.shape)
        expected += 0.5 * size * denoiser.score(expected, t) + np.sqrt(size) * z
    sampler = samplers.get("annealed_langevin", snr=np.sqrt(2e-5) / 0.02, corrector_steps=2)
    close(step(sampler, keys, x, t, jnp.float32(0.4), denoiser), expected, 1e-4)


def test_euler_maruyama_is_the_reverse_sde(x, keys, gaussian):
    sde = sdes.SubVP()
    denoiser, t, s = gaussian.denoiser(sde), jnp.float32(0.5), jnp.float32(0.49)
    beta, g_squared = 10.05, float(sde.diffusion(t)) ** 2
    mean, std = samplers.EulerMaruyama().moments(x, t, s, denoiser)
    drift = -0.5 * beta * x - g_squared * denoiser.score(x, t)
    close(mean, x - 0.01 * drift, 1e-4)
    close(std, np.sqrt(g_squared * 0.01), 1e-3)
    close(
        step(samplers.EulerMaruyama(), keys, x, t, s, denoiser), mean + std * normal(keys, x.shape)
    )


def test_sde_dpm_solver_adds_the_posterior_noise(x, keys, vp):
    """Its first step is ancestral sampling (the means of more are compared in test_orders.py)."""
    ours = step(samplers.SDEDPMSolverPP2M(), keys, x, T, S, vp)
    close(ours, step(samplers.AncestralSampling(), keys, x, T, S, vp), 1e-4)


def test_dpm_solver_3_is_the_papers(x, keys, gaussian):
    """Algorithm 2 of arXiv:2206.00927."""
    sde = sdes.Cosine()
    denoiser, lambdas = gaussian.denoiser(sde), np.array([-0.3, 0.0, 0.3, 0.6])  # r1, r2 = 1/3, 2/3
    times = sde.time_of_log_snr(2 * lambdas)
    alpha, sigma, h = np.asarray(sde.alpha(times)), np.asarray(sde.sigma(times)), 0.9

    def noise(x, i):
        return np.asarray(denoiser(jnp.asarray(x), times[i]).noise)

    def linear(i, r):
        return alpha[i] / alpha[0] * x - sigma[i] * np.expm1(r * h) * first

    first = noise(x, 0)
    difference = noise(linear(1, 1 / 3), 1) - first
    second = linear(2, 2 / 3) - sigma[2] * 2 * (np.expm1(0.6) / 0.6 - 1) * difference
    difference = noise(second, 2) - first
    expected = linear(3, 1) - sigma[3] * 1.5 * (np.expm1(h) / h - 1) * difference
    close(step(samplers.DPMSolver3(), keys, x, times[0], times[3], denoiser), expected)


def test_edm_churn_is_the_papers(x, keys, gaussian):
    """Algorithm 2 of arXiv:2206.00364, for sigma(t) = t, with N = 20."""
    denoiser, t, s = gaussian.denoiser(sdes.EDM()), jnp.float32(2.0), jnp.float32(1.5)
    sampler = samplers.EDMHeun(s_churn=4.0, s_min=1.0, s_max=3.0, s_noise=1.003)
    gamma = 4.0 / 20
    t_hat = t * (1 + gamma)
    x_hat = x + np.sqrt(t_hat**2 - t**2) * 1.003 * normal(keys, x.shape)
    slope = (x_hat - denoiser(x_hat, t_hat).x0) / t_hat
    ahead = x_hat + (s - t_hat) * slope
    slope = 0.5 * (slope + (ahead - denoiser(ahead, s).x0) / s)
    carry = sampler.init(x, denoiser, 19)
    close(sampler.step(keys, x, t, s, denoiser, carry)[0], x_hat + (s - t_hat) * slope, 1e-4)
    # Outside [s_min, s_max] it is the deterministic step.
    t, s = jnp.float32(0.9), jnp.float32(0.7)
    plain = step(samplers.EDMHeun(), keys, x, t, s, denoiser)
    close(sampler.step(keys, x, t, s, denoiser, carry)[0], plain)


def test_the_langevin_correctors_padding_of_few_dimensions_is_an_option(x, keys, vp):
    """Without it, and with norms of each sample, the step is 2 alpha (r ||z|| / ||score||)^2."""
    a, score, z = jnp.float32(0.9), vp.score(x, T), normal(keys, x.shape)
    z_norm, score_norm = (np.linalg.norm(np.reshape(v, (4, -1)), axis=1) for v in (z, score))
    for missing, options in ((0, {"min_dimensions": 0}), (124, {}), (6, {"min_dimensions": 10})):
        ratio = (z_norm**2 + missing) / (score_norm**2 + missing / vp.sde.sigma(T) ** 2)
        size = samplers.Langevin(**options).step_size(score, z, T, a, vp)
        close(size, 2 * a**2 * 0.16**2 * ratio)
