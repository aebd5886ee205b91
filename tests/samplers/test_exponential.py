"""The integrals of exponential integrators, against quadrature."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from scoresde.samplers.exponential import phi, weights


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
