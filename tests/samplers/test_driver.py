"""The driver: keys, counts, trajectories, published update rules, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import fold_in, normal, sample_keys, split
from scoresde.predictions import Noise
from scoresde.registry import UsageError

GRID_SAMPLERS = {
    "euler_maruyama": {},
    "reverse_diffusion": {},
    "ancestral_sampling": {},
    "pc": {"corrector_steps": 2},
}


@pytest.mark.parametrize("name", [*GRID_SAMPLERS, "probability_flow"])
def test_a_key_gives_the_same_sample_in_any_batch(name, mixture, key):
    denoiser = mixture.denoiser(sdes.VP())
    sampler = samplers.get(name, **GRID_SAMPLERS.get(name, {}))
    steps = {} if name == "probability_flow" else {"steps": 20}
    together = samplers.sample(key, sampler, denoiser, (64, 2), **steps)
    for index in (0, 5, 63):
        alone = samplers.sample(
            sample_keys(key, 1, first=index), sampler, denoiser, (1, 2), **steps
        )
        np.testing.assert_allclose(alone.x[0], together.x[index], rtol=2e-4, atol=2e-5)
        assert alone.nfe[0] == together.nfe[index]


@pytest.mark.parametrize("denoise", ["tweedie", "last_mean", "none"])
@pytest.mark.parametrize("name", [*GRID_SAMPLERS, "corrector only", "probability_flow"])
def test_nfe_is_the_number_of_calls(name, denoise, key):
    calls = []

    def count(_):
        calls.append(1)
        return np.float32(0)

    def network(params, x, condition, labels):
        # It must depend on x, or XLA hoists the call out of the corrector's loop.
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        zero = jax.pure_callback(count, shape, x.ravel()[0], vmap_method="sequential")
        return 0.3 * x + zero

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    steps = {"steps": 7}
    if name == "probability_flow":
        if denoise == "last_mean":
            return
        sampler, steps = samplers.get(name, rtol=1e-2, atol=1e-2, denoise=denoise), {}
    elif name == "corrector only":
        sampler = samplers.get("pc", predictor="none", corrector_steps=3, denoise=denoise)
        if denoise == "last_mean":  # there is no predictor whose mean it could be
            denoise = "tweedie"
    else:
        sampler = samplers.get(name, denoise=denoise, **GRID_SAMPLERS[name])
    samples = samplers.sample(key, sampler, denoiser, (1, 3), **steps)
    samples.x.block_until_ready()
    assert samples.nfe.tolist() == [len(calls)]


def test_trajectory_records_every_kth_state(mixture, key):
    denoiser = mixture.denoiser(sdes.VP())
    sampler = samplers.get("euler_maruyama")
    full = samplers.sample(key, sampler, denoiser, (5, 2), steps=10, trajectory=True)
    sparse = samplers.sample(key, sampler, denoiser, (5, 2), steps=10, trajectory=4)
    none = samplers.sample(key, sampler, denoiser, (5, 2), steps=10)
    assert full.trajectory.shape == (11, 5, 2) and none.trajectory is None
    np.testing.assert_array_equal(full.x, none.x)
    np.testing.assert_array_equal(sparse.trajectory, full.trajectory[jnp.array([0, 4, 8, 10])])
    undenoised = samplers.get("euler_maruyama", denoise="none")
    last = samplers.sample(key, undenoised, denoiser, (5, 2), steps=10).x
    np.testing.assert_array_equal(full.trajectory[-1], last)


def test_trajectory_of_the_adaptive_flow_is_the_flow_at_those_times(gaussian, key):
    sde = sdes.VP()
    sampler = samplers.get("probability_flow", denoise="none", rtol=1e-6, atol=1e-6)
    denoiser, x = gaussian.denoiser(sde), jax.random.normal(key, (3, 2, 2, 1))
    samples = samplers.sample(key, sampler, denoiser, x_init=x, steps=4, trajectory=True)
    assert samples.trajectory.shape == (5, 3, 2, 2, 1)
    np.testing.assert_allclose(samples.trajectory[0], x, rtol=1e-5)
    half = samplers.sample(key, sampler, denoiser, x_init=x, grid=[1.0, 0.50001 / 1]).x
    middle = samplers.sample(
        key, sampler, denoiser, x_init=x, grid=np.linspace(1.0, sde.t_min, 5), trajectory=2
    ).trajectory[1]
    np.testing.assert_allclose(middle, half, atol=2e-4)


@pytest.mark.parametrize("name", ["vp", "ve", "rectified_flow"])
def test_encode_then_decode_returns_the_input(name, mixture, key):
    denoiser = mixture.denoiser(sdes.SDES[name]())
    x = mixture.sample(key, 8)
    latent, stats = samplers.encode(denoiser, x)
    assert stats.finished.all()
    decoder = samplers.get("probability_flow", denoise="none")
    again = samplers.sample(key, decoder, denoiser, x_init=latent).x
    np.testing.assert_allclose(again, x, atol=3e-3)


def test_published_update_rules_on_the_discrete_tables(gaussian, key):
    """One step of each rule of score_sde on the DDPM and SMLD tables, in its own formulas."""
    x = jax.random.normal(key, (4, 2, 2, 1))
    keys = sample_keys(key, 4)
    n, i = 1000, 400
    z = normal(keys, x.shape)
    s, t = jnp.float32((i - 1) / (n - 1)), jnp.float32(i / (n - 1))

    vp = gaussian.denoiser(sdes.DiscreteVP(num_scales=n))
    beta = np.linspace(0.1 / n, 20 / n, n)[i]
    score = vp.score(x, t)
    reverse = samplers.ReverseDiffusion().step(keys, x, t, s, vp, ())
    mean = (2 - np.sqrt(1 - beta)) * x + beta * score
    np.testing.assert_allclose(reverse[1], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reverse[0], mean + np.sqrt(beta) * z, rtol=1e-5, atol=1e-5)
    ancestral = samplers.AncestralSampling(variance="forward").step(keys, x, t, s, vp, ())
    mean = (x + beta * score) / np.sqrt(1 - beta)
    np.testing.assert_allclose(ancestral[1], mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ancestral[0], mean + np.sqrt(beta) * z, rtol=1e-5, atol=1e-5)

    ve = gaussian.denoiser(sdes.VE())
    sigma = np.exp(np.linspace(np.log(0.01), np.log(50), n))
    delta = sigma[i] ** 2 - sigma[i - 1] ** 2
    score = ve.score(x, t)
    reverse = samplers.ReverseDiffusion().step(keys, x, t, s, ve, ())
    np.testing.assert_allclose(reverse[1], x + delta * score, rtol=1e-5)
    np.testing.assert_allclose(reverse[0] - reverse[1], np.sqrt(delta) * z, rtol=1e-3, atol=1e-6)
    ancestral = samplers.AncestralSampling().step(keys, x, t, s, ve, ())
    np.testing.assert_allclose(ancestral[1], x + delta * score, rtol=1e-5)
    noise = np.sqrt(sigma[i - 1] ** 2 * delta / sigma[i] ** 2) * z
    np.testing.assert_allclose(ancestral[0] - ancestral[1], noise, rtol=1e-3, atol=1e-6)

    # Langevin with batch norms: step = 2 alpha (r n_z / n_s)^2, alpha = 1 - beta_i.
    corrector = samplers.Langevin(snr=0.16, norm="batch")
    z = normal(fold_in(keys, 0), x.shape)
    for denoiser, alpha in ((vp, 1 - beta), (ve, 1.0)):
        score = denoiser.score(x, t)
        norms = [np.linalg.norm(np.reshape(v, (4, -1)), axis=1).mean() for v in (z, score)]
        step = 2 * alpha * (0.16 * norms[0] / norms[1]) ** 2
        a, _ = denoiser.sde.transition(s, t)
        corrected = corrector.correct(keys, x, t, a, denoiser)
        expected = x + step * score + np.sqrt(2 * step) * z
        np.testing.assert_allclose(corrected, expected, rtol=1e-4, atol=1e-5)
        # ALD: step = 2 alpha (r std)^2.
        step = 2 * alpha * (0.16 * float(denoiser.sde.sigma(t))) ** 2
        corrected = samplers.AnnealedLangevin(snr=0.16).correct(keys, x, t, a, denoiser)
        expected = x + step * score + np.sqrt(2 * step) * z
        np.testing.assert_allclose(corrected, expected, rtol=1e-4, atol=1e-5)


def test_euler_maruyama_is_the_reverse_sde(gaussian, key):
    sde, x, keys = sdes.SubVP(), jax.random.normal(key, (4, 2, 2, 1)), sample_keys(key, 4)
    denoiser, t, s = gaussian.denoiser(sde), jnp.float32(0.5), jnp.float32(0.49)
    beta, g_squared = 10.05, float(sde.diffusion(t)) ** 2
    out, mean, _ = samplers.EulerMaruyama().step(keys, x, t, s, denoiser, ())
    drift = -0.5 * beta * x - g_squared * denoiser.score(x, t)
    np.testing.assert_allclose(mean, x - 0.01 * drift, rtol=1e-4, atol=1e-5)
    noise = np.sqrt(g_squared * 0.01) * normal(keys, x.shape)
    np.testing.assert_allclose(out - mean, noise, rtol=1e-3, atol=1e-5)


def test_corrector_first_is_corrector_then_predictor(gaussian, key):
    """And both parts use independent keys."""
    denoiser, x = gaussian.denoiser(sdes.VP()), jax.random.normal(key, (2, 2, 2, 1))
    keys, t, s = sample_keys(key, 2), jnp.float32(0.5), jnp.float32(0.4)
    predictor, corrector = samplers.ReverseDiffusion(), samplers.Langevin()
    predictor_keys, corrector_keys = split(keys)
    a, _ = denoiser.sde.transition(s, t)
    first = corrector.correct(corrector_keys, x, t, a, denoiser)
    expected = predictor.step(predictor_keys, first, t, s, denoiser, ())[0]
    sampler = samplers.PredictorCorrector(predictor=predictor, corrector=corrector)
    np.testing.assert_allclose(sampler.step(keys, x, t, s, denoiser, ())[0], expected, rtol=1e-5)
    sampler = samplers.PredictorCorrector(
        predictor=predictor, corrector=corrector, order="predictor_first"
    )
    first = predictor.step(predictor_keys, x, t, s, denoiser, ())[0]
    expected = corrector.correct(corrector_keys, first, s, a, denoiser)
    np.testing.assert_allclose(sampler.step(keys, x, t, s, denoiser, ())[0], expected, rtol=1e-5)


def test_labels_reach_the_network_sample_by_sample(key):
    def network(params, x, condition, labels):
        return x - params[labels][:, None]

    denoiser = Denoiser(sdes.VP(), Noise(), network, jnp.array([0.0, 5.0]))
    labels = jnp.array([0, 1, 1])
    for name, options in (("euler_maruyama", {"steps": 5}), ("probability_flow", {})):
        sampler = samplers.get(name)
        together = samplers.sample(key, sampler, denoiser, (3, 2), labels=labels, **options).x
        for index in range(3):
            alone = samplers.sample(
                sample_keys(key, 1, first=index), sampler, denoiser, (1, 2),
                labels=labels[index : index + 1], **options,
            ).x  # fmt: skip
            np.testing.assert_allclose(alone[0], together[index], rtol=1e-3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: samplers.get("pcc"), "Unknown sampler 'pcc'"),
        (lambda: samplers.get("pc", snrr=0.1), "no option 'snrr'"),
        (lambda: samplers.get("pc", predictor="heun2"), "Unknown predictor"),
        (lambda: samplers.get("pc", predictor="euler_maruyama", variance="forward"), "variance"),
        (lambda: samplers.get("pc", snr=-1.0), "snr > 0"),
        (lambda: samplers.get("pc", predictor="none", corrector="none"), "needs a predictor or"),
        (lambda: samplers.get("euler_maruyama", denoise="yes"), "Unknown denoise"),
        (lambda: samplers.get("probability_flow", method="euler"), "Unknown ODE method"),
    ],
)
def test_mistakes_in_a_sampler(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "shape"),
        ({"shape": (2, 2)}, "number of steps"),
        ({"shape": (2, 2), "x_init": jnp.zeros((3, 2)), "steps": 3}, "contradicts"),
        ({"shape": (2, 2), "steps": 3, "labels": jnp.zeros(3, int)}, "labels"),
        ({"shape": (2, 2), "steps": 3, "trajectory": -1}, "stride"),
    ],
)
def test_mistakes_in_a_call(arguments, message, mixture, key):
    sampler, denoiser = samplers.get("euler_maruyama"), mixture.denoiser(sdes.VP())
    with pytest.raises(UsageError, match=message):
        samplers.sample(key, sampler, denoiser, **arguments)


def test_wrong_number_of_keys(mixture, key):
    sampler, denoiser = samplers.get("euler_maruyama"), mixture.denoiser(sdes.VP())
    with pytest.raises(UsageError, match="need one key"):
        samplers.sample(jax.random.split(key, 3), sampler, denoiser, (2, 2), steps=3)
