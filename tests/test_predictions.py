"""Reading networks: every kind of prediction returns what it was made from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import predictions, sdes
from scoresde.denoiser import Denoiser
from scoresde.registry import UsageError

TIMES = {name: np.linspace(0.02, 0.98, 9) for name in sdes.SDES}


@pytest.mark.parametrize("sde_name", list(sdes.SDES))
@pytest.mark.parametrize("name", list(predictions.PREDICTIONS))
def test_a_perfect_output_reads_as_the_data_and_noise_behind_it(name, sde_name):
    with jax.enable_x64(True):
        sde = sdes.SDES[sde_name]()
        kind = predictions.get(name)
        t = jnp.asarray(sde.t_min + TIMES[sde_name] * (sde.t_max - sde.t_min))
        rng = np.random.default_rng(0)
        x0, noise = rng.normal(size=(2, len(t), 3, 3, 1))
        x = sde.perturb(x0, noise, t)
        output = kind.target(sde, x0, noise, t)
        read = kind.read(sde, x, t, output)
        np.testing.assert_allclose(read.x0, x0, rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(read.noise, noise, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("sde", [sdes.VP(), sdes.SubVP(), sdes.RectifiedFlow(), sdes.EDM()])
@pytest.mark.parametrize("name", ["noise", "score", "v", "velocity", "edm"])
def test_the_noise_keeps_its_digits_at_the_smallest_time(name, sde):
    """In float32, where sub-VP has sigma = 1e-6: through x0 nothing would be left of the noise."""
    t = jnp.full((64,), sde.t_min)
    noise = jax.random.normal(jax.random.key(0), (64, 8))
    x0 = jnp.full((64, 8), 0.5)
    kind = predictions.get(name)
    # x0 is chosen so that a network's own output, not x - alpha x0, has to carry the noise.
    x = jnp.zeros_like(x0) + sde.perturb(x0, noise, t)
    output = kind.target(sde, x0, noise, t)
    read = kind.read(sde, x, t, output)
    if name in ("noise", "score", "v"):
        np.testing.assert_allclose(read.noise, noise, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(read.x0, x0, rtol=1e-5)


@pytest.mark.parametrize("name", list(predictions.PREDICTIONS))
def test_kinds_that_are_regular_without_signal(name):
    """Where alpha = 0 (rectified flow at t = 1) only these can be read, and must be finite."""
    sde, kind = sdes.RectifiedFlow(), predictions.get(name)
    t = jnp.ones((1,))
    read = kind.read(sde, jnp.ones((1, 2)), t, jnp.ones((1, 2)))
    regular = name in ("x0", "v", "velocity", "edm")
    assert bool(jnp.isfinite(read.x0).all()) == regular
    assert jnp.isfinite(read.noise).all()


def test_edm_is_karras_preconditioning():
    """c_skip, c_out, c_in and c_noise of EDM's table 1 on its own process."""
    sigma_data, sigma = 0.5, np.array([0.01, 0.3, 2.0, 70.0])
    kind, sde = predictions.EDM(sigma_data=sigma_data), sdes.EDM()
    norm = np.sqrt(sigma**2 + sigma_data**2)
    c = kind.coefficients(sde, jnp.asarray(sigma))
    np.testing.assert_allclose(c.x0_x, sigma_data**2 / norm**2, rtol=1e-5)
    np.testing.assert_allclose(c.x0_output, sigma * sigma_data / norm, rtol=1e-5)
    x, condition = kind.inputs(sde, jnp.ones((4, 1)), jnp.asarray(sigma))
    np.testing.assert_allclose(x[:, 0], 1 / norm, rtol=1e-5)
    np.testing.assert_allclose(condition, np.log(sigma) / 4, rtol=1e-5)


def test_time_inputs():
    t = jnp.array([0.0, 0.25, 1.0])
    vp, ve = sdes.VP(t_min=0.0), sdes.VE(t_min=0.0)
    inputs = predictions.TIME_INPUTS
    np.testing.assert_allclose(inputs["scaled_time"]()(vp, t), [0, 249.75, 999])
    np.testing.assert_allclose(inputs["sigma"]()(ve, t), ve.sigma(t))
    np.testing.assert_allclose(inputs["index"](num_scales=5)(vp, t), [0, 1, 4])
    np.testing.assert_allclose(inputs["index"](num_scales=5, descending=True)(ve, t), [4, 3, 0])


def test_velocity_is_the_probability_flow(mixture, key):
    """alpha' x0 + sigma' noise = f x - g^2 score / 2."""
    for sde in (
        sdes.VP(),
        sdes.SubVP(),
        sdes.VE(),
        sdes.EDM(),
        sdes.Cosine(),
        sdes.RectifiedFlow(),
    ):
        t = jnp.array([0.1, 0.4, 0.8]) * sde.t_max
        x = jax.random.normal(key, (3, 2)) * sde.sigma(t)[:, None]
        denoiser = mixture.denoiser(sde)
        flow = sde.drift(x, t) - 0.5 * sde.diffusion_squared(t)[:, None] * denoiser.score(x, t)
        np.testing.assert_allclose(denoiser.velocity(x, t), flow, rtol=1e-3, atol=1e-4)


def test_a_network_of_each_kind_is_the_same_denoiser(mixture, key):
    """The analytic denoiser, written out as a network of each kind, reads as itself."""
    sde = sdes.VP()
    truth = mixture.denoiser(sde)
    x, t = jax.random.normal(key, (5, 2)), jnp.array([0.05, 0.2, 0.4, 0.7, 0.95])
    expected = truth(x, t)
    for name in predictions.PREDICTIONS:
        kind = predictions.get(name, time_input=lambda sde, t: t)

        def network(params, x, t, condition, kind=kind):
            scale = jnp.reshape(jnp.broadcast_to(kind.input_scale(sde, t), t.shape), (-1, 1))
            prediction = truth(x / scale, t)
            return kind.target(sde, prediction.x0, prediction.noise, t)

        read = Denoiser(sde, kind, network, None)(x, t)
        np.testing.assert_allclose(read.x0, expected.x0, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(read.noise, expected.noise, rtol=1e-3, atol=1e-3)


def test_unknown_names_and_options_are_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"velocty.*Did you mean 'velocity'"):
        predictions.get("velocty")
    with pytest.raises(UsageError, match=r"no option 'sigma_dat'.*Did you mean 'sigma_data'"):
        predictions.get("edm", sigma_dat=1.0)
    with pytest.raises(UsageError, match="Unknown time input 'frequency'"):
        predictions.get("noise", time_input="frequency")


def test_x0_and_noise_change_together(key):
    sde, t = sdes.VP(), jnp.array([0.2, 0.9])
    x0, noise, other = (jax.random.normal(k, (2, 3)) for k in jax.random.split(key, 3))
    x = sde.perturb(x0, noise, t)
    before = predictions.Prediction(x0, noise, variance=other)
    for after in (
        predictions.with_x0(before, sde, t, other),
        predictions.with_noise(before, sde, t, other),
    ):
        np.testing.assert_allclose(sde.perturb(after.x0, after.noise, t), x, rtol=1e-4, atol=1e-5)
        assert after.variance is other
    np.testing.assert_array_equal(predictions.with_x0(before, sde, t, other).x0, other)
    np.testing.assert_array_equal(predictions.with_noise(before, sde, t, other).noise, other)


def test_a_time_input_is_chosen_by_its_name_a_section_or_as_it_is():
    index = predictions.Index(num_scales=10)
    for choice in (index, {"name": "index", "num_scales": 10}):
        assert predictions.Noise(time_input=choice).time_input == index
        assert predictions.get("noise", time_input=choice).trained_levels == 10
    assert predictions.Noise(time_input="sigma") == predictions.Noise(
        time_input=predictions.Sigma()
    )
    with pytest.raises(UsageError, match="Unknown time input 'sgima'"):
        predictions.Noise(time_input="sgima")
