"""Adaptive solvers, and what the probability flow's latent space is used for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import ode, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.predictions import Noise
from scoresde.registry import UsageError
from scoresde.samplers.adaptive_sde import KnownNoise
from scoresde.samplers.interpolation import spherical
from scoresde.samplers.observe import Observer


@pytest.fixture(scope="module")
def decode(key):
    """(denoiser, latents [8, 2], **options) -> Samples; without options, always one program."""
    decoder = samplers.get("probability_flow", denoise="none")

    def decode(denoiser, latents, **options):
        return samplers.sample(key, decoder, denoiser, x_init=latents, **options)

    return decode


@pytest.mark.parametrize("name", ["vp", "ve", "rectified_flow"])
def test_encode_then_decode_returns_the_input(name, mixture, key, any_process, decode):
    denoiser = mixture.denoiser(any_process(name))
    x = mixture.sample(key, 4)
    latent, stats = samplers.encode(denoiser, x)
    assert stats.finished.all()
    again = decode(denoiser, jnp.concatenate([latent, latent[::-1]])).x
    np.testing.assert_allclose(again, jnp.concatenate([x, x[::-1]]), atol=3e-3)


def test_interpolation_runs_along_a_great_circle_of_latents(mixture, key, any_process):
    denoiser = mixture.denoiser(any_process("vp"))
    x = mixture.sample(key, 4)
    latents, _ = samplers.encode(denoiser, x)
    path = samplers.interpolate(denoiser, x[:2], x[2:], 4)
    assert path.shape == (4, 2, 2)
    np.testing.assert_allclose(path[0], x[:2], atol=3e-3)
    np.testing.assert_allclose(path[3], x[2:], atol=3e-3)
    between, _ = samplers.encode(denoiser, path[1:3].reshape(4, 2))
    expected = spherical(latents[:2], latents[2:], jnp.array([1 / 3, 2 / 3])).reshape(4, 2)
    np.testing.assert_allclose(between, expected, atol=3e-3)
    with pytest.raises(UsageError, match="n >= 2"):
        samplers.interpolate(denoiser, x[:2], x[2:], 1)


def test_trajectory_of_the_adaptive_flow_is_the_flow_at_those_times(
    mixture, key, any_process, decode
):
    denoiser, x = mixture.denoiser(any_process("vp")), jax.random.normal(key, (8, 2))
    times = np.linspace(1.0, 1e-5, 5)
    recorded = decode(denoiser, x, grid=times, trajectory=2, record=lambda x: x[:3]).trajectory
    assert recorded.shape == (3, 3, 2)
    np.testing.assert_allclose(recorded[0], x[:3], rtol=1e-5)
    np.testing.assert_allclose(recorded[1], decode(denoiser, x, grid=times[:3:2]).x[:3], atol=1e-3)
    np.testing.assert_allclose(recorded[2], decode(denoiser, x).x[:3], atol=1e-3)


def test_a_flow_that_cannot_finish_says_so(mixture, monkeypatch):
    def flow(denoiser, x, start, end, **options):
        return x, ode.Stats(jnp.array([9, 9]), jnp.array([1, 1]), jnp.array([True, False]))

    monkeypatch.setattr("scoresde.samplers.probability_flow.flow", flow)
    sampler, x = samplers.get("probability_flow"), jnp.ones((2, 2))
    times, denoiser = jnp.array([1.0, 0.5]), mixture.denoiser(sdes.VP())
    samples = sampler.run(None, x, times, 1, denoiser, Observer())
    assert jnp.isfinite(samples.x[0]).all() and jnp.isnan(samples.x[1]).all()


def test_spherical_interpolation(key):
    a, b = jax.random.normal(key, (2, 5, 4, 4, 1))
    path = spherical(a, b, jnp.linspace(0, 1, 3))
    assert path.shape == (3, 5, 4, 4, 1)
    np.testing.assert_allclose(path[0], a, atol=1e-5)
    np.testing.assert_allclose(path[2], b, atol=1e-5)
    # Between unit vectors it is a great circle at constant speed.
    east, north = jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 2.0]])
    middle = spherical(east, north, jnp.array([1 / 3]))[0]
    np.testing.assert_allclose(middle, [[np.sqrt(3), 1.0]], rtol=1e-5)
    np.testing.assert_allclose(spherical(a, a, jnp.array([0.3]))[0], a, rtol=1e-3)


def test_known_noise_is_a_brownian_path(key):
    """Increments before and after a split add up, and have the variances of a Brownian bridge."""
    samples = 40_000
    z = jax.random.normal(key, (3, samples, 1))
    h = jnp.full(samples, 0.5)
    nothing = KnownNoise(jnp.zeros(samples), jnp.zeros((samples, 1)))
    total, rest, whole = nothing.draw(h, z[0])
    np.testing.assert_allclose(total.var(), 0.5, rtol=0.03)
    assert (rest.length == 0).all() and (rest.w == 0).all()
    assert (whole.length == 0.5).all() and (whole.w == total).all()

    first, rest, again = whole.draw(0.4 * h, z[1])  # the step was rejected
    np.testing.assert_allclose(first.var(), 0.2, rtol=0.03)
    np.testing.assert_allclose(rest.w, total - first, atol=1e-6)
    np.testing.assert_allclose(jnp.mean(first * rest.w), 0.0, atol=0.006)  # independent
    assert (again.length == 0.5).all() and (again.w == total).all()

    second, beyond, _ = rest.draw(h, z[2])  # past what is known
    np.testing.assert_allclose(second.var(), 0.5, rtol=0.03)
    np.testing.assert_allclose(jnp.mean(first * second), 0.0, atol=0.01)
    assert (beyond.length == 0).all()


def test_gotta_go_fast_adapts_each_sample(key):
    """More evaluations for a smaller tolerance; and a sample that cannot finish says so."""
    denoiser, nfe = Denoiser(sdes.VP(), Noise(), lambda p, x, c, labels: jnp.tanh(x), None), {}
    with jax.disable_jit():
        for rtol in (1.0, 0.2):
            sampler = samplers.get("gotta_go_fast", rtol=rtol, atol=rtol)
            samples = samplers.sample(key, sampler, denoiser, (4, 3))
            assert jnp.isfinite(samples.x).all()
            assert len(set(samples.nfe.tolist())) > 1
            nfe[rtol] = samples.nfe.mean()
        assert nfe[0.2] > 1.5 * nfe[1.0]
        sampler = samplers.get("gotta_go_fast", max_steps=5)
        assert jnp.isnan(samplers.sample(key, sampler, denoiser, (4, 3)).x).all()
