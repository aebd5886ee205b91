"""Exponential integrators of any order: the polynomials of DEIS and UniPC.

A step in lambda (`scoresde.samplers.log_snr`) is DDIM plus, with the polynomial through the values
of a prediction at several nodes, integrals of that polynomial against the exponential. They are
sums of

    phi_k(z) = int_0^1 exp((1 - theta) z) theta^(k-1) / (k-1)! d theta.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array


def phi(count: int, z: Array) -> list[Array]:
    """[phi_1(z), ..., phi_count(z)], accurate for every z: near 0 by a series, else recursively."""
    small = jnp.abs(z) < 1
    inside, outside = jnp.where(small, z, 0.0), jnp.where(small, 1.0, z)
    series = jnp.zeros_like(z)
    for n in range(18, -1, -1):  # sum of z^n / (n + count)!
        series = series * inside + 1 / math.factorial(n + count)
    near, far = [series], [jnp.expm1(outside) / outside]
    for k in range(count - 1, 0, -1):
        near.insert(0, 1 / math.factorial(k) + inside * near[0])
    for k in range(1, count):
        far.append((far[-1] - 1 / math.factorial(k)) / outside)
    return [jnp.where(small, a, b) for a, b in zip(near, far)]


def _lagrange(nodes: Sequence[Array], k: int) -> list[Array]:
    """Coefficients of theta, theta^2, ... of the polynomial that is 1 at node k, 0 at the others
    and at theta = 0."""
    coefficients = [1 / nodes[k]]
    for j, node in enumerate(nodes):
        if j != k:  # multiply by (theta - node) / (node_k - node)
            raised, kept = [0.0, *coefficients], [*coefficients, 0.0]
            coefficients = [(a - node * b) / (nodes[k] - node) for a, b in zip(raised, kept)]
    return coefficients


def weights(nodes: Sequence[Array], h: Array, sign: int) -> list[Array]:
    """The integrals that multiply the values at the nodes, less the value at t.

    int_0^h exp(sign (h - u)) l_k(u / h) du with the Lagrange polynomials l_k of `nodes` and 0.

    Args:
        nodes: where values are known, as theta = (lambda - lambda_t) / h; distinct, none of them 0.
        h: the step in lambda.
        sign: -1 for the data form, 1 for the noise form.
    """
    moments = [math.factorial(k + 1) * f for k, f in enumerate(phi(len(nodes) + 1, sign * h)[1:])]
    return [
        h * sum(c * moment for c, moment in zip(_lagrange(nodes, k), moments))
        for k in range(len(nodes))
    ]
