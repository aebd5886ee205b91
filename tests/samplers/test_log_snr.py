"""Steps in the log-SNR: of first order, all forms are DDIM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.samplers.log_snr import ddim, from_zero_snr, noise_step, step_size, time_between


@jax.jit
def first_order_steps(x, t, s, denoiser):
    sde, prediction = denoiser.sde, denoiser(x, t)
    h = step_size(sde, t, s)
    by_data = sde.sigma(s) / sde.sigma(t) * x - sde.alpha(s) * jnp.expm1(-h) * prediction.x0
    change = 0.1  # of the noise that is held
    by_noise = noise_step(sde, prediction, prediction.noise + change, t, s)
    expected = -sde.sigma(s) * jnp.expm1(h) * change
    expected = jnp.where(from_zero_snr(sde, t, s), 0.0, expected)
    return ddim(sde, prediction, s), by_data, by_noise - expected


@pytest.mark.parametrize("name", ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"])
def test_first_order_steps_are_ddim(name, mixture, any_process):
    """Also where alpha is 0."""
    sde = any_process(name)
    x, denoiser = jnp.array([[0.5, -0.2]]), mixture.denoiser(sde)
    for t, s in ((1.0, 0.8), (0.5, 0.4)):
        expected, *steps = first_order_steps(x, t * sde.t_max, s * sde.t_max, denoiser)
        for step in steps:
            np.testing.assert_allclose(step, expected, rtol=1e-4, atol=1e-4)


def test_the_times_between_divide_the_step_in_lambda(any_process):
    sde = any_process("vp")
    t, s = jnp.float32(0.7), jnp.float32(0.3)
    for r in (1 / 3, 1 / 2):
        between = time_between(sde, t, s, r)
        np.testing.assert_allclose(step_size(sde, t, between), r * step_size(sde, t, s), rtol=1e-4)


def test_only_a_start_at_zero_snr_is_one(any_process):
    """Never a step of the published VP, whatever its length."""
    vp, flow = any_process("vp"), any_process("rectified_flow")
    assert not from_zero_snr(vp, jnp.float32(1.0), jnp.float32(1e-5))
    assert from_zero_snr(flow, jnp.float32(1.0), jnp.float32(0.9))
    assert not from_zero_snr(flow, jnp.float32(0.9), jnp.float32(0.1))
