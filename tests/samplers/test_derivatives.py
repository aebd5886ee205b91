"""Derivatives of samples with respect to where they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import samplers, sdes

ADAPTIVE = ("gotta_go_fast", "probability_flow")
X = jnp.array([[0.3, 0.2], [-0.5, 0.1]])
DIRECTION = jnp.array([[1.0, 0.5], [-0.2, 1.0]])


def total(name, denoiser):
    """x -> a number that every sample from there has a part in."""
    options = {} if name in ADAPTIVE else {"steps": 2}

    def total(x):
        loose = {"rtol": 0.1, "atol": 0.1} if name in ADAPTIVE else {}
        sampler = samplers.get(name, **loose)
        drawn = samplers.sample(jax.random.key(0), sampler, denoiser, x_init=x, **options)
        return jnp.sum(jnp.sin(drawn.x))

    return total


@pytest.mark.parametrize("name", covering(["pc", "dpm_solver_pp_3m", "pndm"], ["pc"]))
def test_along_a_grid_reverse_and_forward_mode_agree_with_differences(name, mixture):
    function = total(name, mixture.denoiser(sdes.VP()))
    gradient = jnp.vdot(jax.grad(function)(X), DIRECTION)
    _, forward = jax.jvp(function, (X,), (DIRECTION,))
    np.testing.assert_allclose(gradient, forward, rtol=1e-3)
    h = 1e-3
    difference = (function(X + h * DIRECTION) - function(X - h * DIRECTION)) / (2 * h)
    np.testing.assert_allclose(forward, difference, rtol=0.02, atol=2e-3)


@pytest.mark.thorough
def test_the_hessian_is_symmetric(mixture):
    function = total("ddim", mixture.denoiser(sdes.VP()))
    hessian = jax.hessian(function)(X).reshape(4, 4)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-3 * jnp.abs(hessian).max())
    np.testing.assert_array_equal(hessian[:2, 2:], 0)  # of two samples nothing is shared


@pytest.mark.thorough
def test_adaptive_samplers_have_one_mode_each(mixture):
    flow = total("probability_flow", mixture.denoiser(sdes.VP()))
    assert np.isfinite(jax.grad(flow)(X)).all()
    fast = total("gotta_go_fast", mixture.denoiser(sdes.VP()))
    assert np.isfinite(jax.jvp(fast, (X,), (DIRECTION,))[1])


def test_of_the_temperature_and_the_times(mixture):
    denoiser, sampler = mixture.denoiser(sdes.VP()), samplers.get("ddim")

    def function(temperature, times):
        options = {"temperature": temperature, "grid": times}
        return samplers.sample(jax.random.key(0), sampler, denoiser, (2, 2), **options).x.sum()

    at = 0.9, jnp.array([1.0, 0.5, 0.1])
    gradients = jax.grad(function, argnums=(0, 1))(*at)
    assert np.isfinite(gradients[0]) and np.isfinite(gradients[1]).all() and gradients[0] != 0
    np.testing.assert_allclose(jax.jit(function)(*at), function(*at), rtol=1e-5)
