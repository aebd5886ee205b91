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


@pytest.mark.parametrize("n", [1, 2.5, "4", None])
def test_a_path_is_of_a_whole_number_of_images(n, mixture):
    with pytest.raises(UsageError, match=f"an integer n >= 2, got .* and n={n!r}"):
        samplers.interpolate(mixture.denoiser(sdes.VP()), jnp.ones((2, 2)), jnp.ones((2, 2)), n)


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
    def flow(denoiser, x, condition, start, end, **options):
        return x, ode.Stats(jnp.array([9, 9]), jnp.array([1, 1]), jnp.array([True, False]))

    monkeypatch.setattr("scoresde.samplers.probability_flow.flow", flow)
    sampler, x = samplers.get("probability_flow"), jnp.ones((2, 2))
    times, denoiser = jnp.array([1.0, 0.5]), mixture.denoiser(sdes.VP())
    samples = sampler.run(None, x, times, 1, denoiser, None, None, Observer())
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
    """However often a step is rejected, the increments are those of one Brownian path."""
    samples = 40_000
    z = jax.random.normal(key, (4, samples, 1))
    yes, no = jnp.full(samples, True), jnp.full(samples, False)
    known = KnownNoise.nothing(z[0])

    def length(h):
        return jnp.full(samples, h)

    drawn = {}
    for number, h in enumerate((0.5, 0.2, 0.1)):  # rejected, each shorter than the one before
        drawn[h] = known.draw(length(h), z[number])
        np.testing.assert_allclose(drawn[h].var(), h, rtol=0.03)
        known = known.after(no, length(h), drawn[h])
    for h, w in drawn.items():  # none is forgotten
        np.testing.assert_allclose(known.draw(length(h), z[3]), w, atol=1e-6)
    first, second, third = drawn[0.1], drawn[0.2] - drawn[0.1], drawn[0.5] - drawn[0.2]
    np.testing.assert_allclose(
        jnp.cov(jnp.hstack([first, second, third]).T)[~np.eye(3, dtype=bool)], 0, atol=0.006
    )

    known = known.after(yes, length(0.1), first)
    np.testing.assert_allclose(known.draw(length(0.1), z[3]), second, atol=1e-6)
    beyond = known.draw(length(0.6), z[3])  # past what is known, 0.4
    np.testing.assert_allclose((beyond - second - third).var(), 0.2, rtol=0.03)
    known = known.after(yes, length(0.6), beyond)
    assert jnp.isinf(known.ahead[1:]).all() and (known.w[0] == 0).all()


def test_gotta_go_fast_adapts_each_sample(key):
    """More evaluations for a smaller tolerance; and a sample that cannot finish says so."""
    denoiser, nfe = Denoiser(sdes.VP(), Noise(), lambda p, x, t, condition: jnp.tanh(x), None), {}
    for rtol in (1.0, 0.1):
        sampler = samplers.get("gotta_go_fast", rtol=rtol, atol=rtol)
        samples = samplers.sample(key, sampler, denoiser, (4, 3))
        assert jnp.isfinite(samples.x).all()
        assert len(set(samples.nfe.tolist())) > 1
        nfe[rtol] = samples.nfe.mean()
    assert nfe[0.1] > 1.5 * nfe[1.0]
    sampler = samplers.get("gotta_go_fast", max_steps=5)
    assert jnp.isnan(samplers.sample(key, sampler, denoiser, (4, 3)).x).all()


@pytest.mark.parametrize("name", ["gotta_go_fast", "probability_flow"])
def test_adaptive_solvers_refuse_a_constraint(name, mixture, key):
    def constraint(keys, x, t, condition):
        return x

    denoiser = mixture.denoiser(sdes.VP())
    with pytest.raises(UsageError, match="no place for a constraint"):
        samplers.sample(key, samplers.get(name), denoiser, (2, 2), constraint=constraint)
