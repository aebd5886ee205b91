"""The time that all processes share: its inverse, its speed and its scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import sdes
from scoresde.likelihood.noise_time import COARSE, FINE, NoiseTime

PROCESSES = ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", PROCESSES)
def test_time_there_and_back_and_its_derivatives(name):
    sde = sdes.SDES[name]()
    clock = NoiseTime(sde, sde.t_min)
    t = jnp.geomspace(sde.t_min, 0.99 * sde.t_max, 12)
    u = clock.of(t)
    assert (jnp.diff(u) > 0).all()
    at = clock.at(u)
    np.testing.assert_allclose(at.t, t, rtol=1e-6)

    def derivative(f):
        return jax.vmap(jax.grad(f))(t)

    np.testing.assert_allclose(at.speed, 1 / derivative(clock.of), rtol=1e-5)
    np.testing.assert_allclose(at.growth, derivative(clock.log_scale), rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(jnp.log(at.scale), clock.log_scale(t), rtol=1e-6, atol=1e-9)


def test_equal_noise_levels_have_equal_times():
    levels = jnp.geomspace(0.02, 40.0, 9)
    times = []
    for name in PROCESSES:
        sde = sdes.SDES[name]()
        times.append(NoiseTime(sde, sde.t_min).of(sde.time_of_log_snr(-2 * jnp.log(levels))))
    np.testing.assert_allclose(times, np.tile(times[0], (len(times), 1)), atol=1e-6)
    np.testing.assert_allclose(times[0], jnp.log((levels + FINE) / (levels + COARSE)), atol=1e-6)


def test_the_ends_are_finite_where_there_is_no_noise_and_where_there_is_no_data():
    sde = sdes.RectifiedFlow(t_min=0.0)
    clock = NoiseTime(sde, 0.0)
    ends = clock.of(0.0), clock.of(1.0)
    np.testing.assert_allclose(ends, [np.log(FINE / COARSE), 0.0], rtol=1e-12)
    for u, t in zip(ends, (0.0, 1.0), strict=True):
        at = clock.at(u)
        assert all(jnp.isfinite(value) for value in at) and abs(at.t - t) < 1e-12


def test_a_start_before_the_processs_own_is_reached():
    """Also one that JAX is tracing."""
    clock_of = jax.jit(lambda t: NoiseTime(sdes.VP(), t).at(NoiseTime(sdes.VP(), t).of(t)).t)
    np.testing.assert_allclose(clock_of(1e-7), 1e-7, rtol=1e-6)
    assert sdes.VP().t_min == 1e-5
