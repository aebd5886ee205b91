"""The integrals of exponential integrators, against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from scoresde.samplers.exponential import (
    History,
    data_step,
    extrapolate,
    noise_step,
    phi,
    trapezoid,
    weights,
)


@pytest.mark.parametrize("z", [-40.0, -5.0, -1.01, -0.99, -1e-3, 0.0, 1e-4, 0.5, 1.01, 8.0])
def test_phi(z):
    values = phi(4, jnp.float32(z))
    for k, value in enumerate(values, start=1):
        truth, _ = integrate.quad(
            lambda u, k=k: np.exp((1 - u) * z) * u ** (k - 1) / np.prod(np.arange(1, k)), 0, 1,
            epsabs=1e-14,
        )  # fmt: skip
        np.testing.assert_allclose(value, truth, rtol=3e-5)


@pytest.mark.parametrize("sign", [-1, 1])
def test_weights_integrate_polynomials_exactly(sign):
    h, nodes = 0.7, [-0.4, -1.1, 1.0]
    found = weights([jnp.float32(node) for node in nodes], jnp.float32(h), sign)
    for power in (1, 2, 3):
        exact, _ = integrate.quad(
            lambda u, power=power: np.exp(sign * (h - u)) * (u / h) ** power, 0, h
        )
        total = sum(w * node**power for w, node in zip(found, nodes))
        np.testing.assert_allclose(total, exact, rtol=2e-5)


def test_a_history_raises_the_order_as_it_grows_and_lowers_it_for_a_long_step(key):
    values = jax.random.normal(key, (4, 2))
    history = History.empty(values[0], 3)
    h = jnp.float32(0.5)
    for number, value in enumerate(values):
        history = history.push(value, jnp.float32(0.3 * number))
        total = extrapolate(history, h, -1, trapezoid)
        if number == 0:
            np.testing.assert_array_equal(total, 0)
        elif number == 1:
            (weight,) = trapezoid([jnp.float32(-0.6)], h, -1)
            np.testing.assert_allclose(total, weight * (values[0] - value), rtol=1e-5)
        else:
            first, second = weights([jnp.float32(-0.6), jnp.float32(-1.2)], h, -1)
            before = values[number - 1], values[number - 2]
            expected = first * (before[0] - value) + second * (before[1] - value)
            np.testing.assert_allclose(total, expected, rtol=1e-4)
    assert history.length == 3
    np.testing.assert_array_equal(history.values[::-1], values[1:])
    np.testing.assert_array_equal(extrapolate(history, jnp.float32(1.3), -1, trapezoid), 0)


@jax.jit
def first_order_steps(x, t, s, denoiser):
    sde, prediction = denoiser.sde, denoiser(x, t)
    ddim = sde.alpha(s) * prediction.x0 + sde.sigma(s) * prediction.noise
    by_data = data_step(sde, x, prediction.x0, t, s)
    return ddim, by_data, noise_step(sde, prediction, prediction.noise, t, s)


@pytest.mark.parametrize("name", ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"])
def test_first_order_steps_are_ddim(name, mixture, any_process):
    """Also where alpha is 0."""
    sde = any_process(name)
    x, denoiser = jnp.array([[0.5, -0.2]]), mixture.denoiser(sde)
    for t, s in ((1.0, 0.8), (0.5, 0.4)):
        ddim, *steps = first_order_steps(x, t * sde.t_max, s * sde.t_max, denoiser)
        for step in steps:
            np.testing.assert_allclose(step, ddim, rtol=1e-4, atol=1e-5)
