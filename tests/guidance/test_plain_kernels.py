"""Convolutions with their kernels transposed beforehand are the same convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from scoresde import guidance, observations, predictions, sdes
from scoresde.denoiser import Denoiser
from scoresde.guidance.plain_kernels import with_plain_kernels

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(2, 6, 6, 3)), jnp.float32)
FIRST = jnp.asarray(RNG.normal(size=(3, 3, 3, 4)) / 5, jnp.float32)
WRAP = with_plain_kernels
LAST = jnp.asarray(RNG.normal(size=(3, 3, 4, 3)) / 5, jnp.float32)


def convolve(x, kernel, stride=1):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=layout)


@jax.jit
def network(x, first=FIRST, stride=1):
    """With what has programs of its own within: jit, relu, a loop."""
    y = jax.jit(lambda x: jax.nn.relu(convolve(x, first)))(x)
    y = lax.fori_loop(0, 2, lambda i, y: jnp.tanh(y), y)
    return convolve(y, LAST) + x


def pulled(x, wrap, first=FIRST):
    out, pull = jax.vjp(lambda x: network(x, first), x)
    return wrap(lambda v: pull(v)[0])(out**2)


def kernels(f, *arguments):
    """The dimension numbers of the kernels, in order."""
    text = str(jax.make_jaxpr(f)(*arguments))
    return [line.split("rhs_spec=")[1][:12] for line in text.splitlines() if "rhs_spec=" in line]


def test_a_pullback_has_plain_kernels_and_the_same_value():
    both = [kernels(lambda x, wrap=wrap: pulled(x, wrap), X) for wrap in (lambda f: f, WRAP)]
    assert len(both[0]) == 4 and len(set(both[0])) == 2
    assert set(both[1]) == {"(3, 2, 0, 1)"}
    np.testing.assert_allclose(pulled(X, WRAP), pulled(X, lambda f: f), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_strides_are_kept(stride):
    def f(x):
        return convolve(x, FIRST, stride)

    out, pull = jax.vjp(f, X)
    for got, expected in zip(WRAP(pull)(out), pull(out)):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_it_is_differentiated_in_both_modes_and_mapped_over():
    ways = {
        "forward": lambda wrap: jax.jvp(lambda x: pulled(x, wrap), (X,), (X,))[1],
        "reverse": lambda wrap: jax.grad(lambda x: pulled(x, wrap).sum())(X),
        "by_parameters": lambda wrap: jax.grad(lambda k: pulled(X, wrap, k).sum())(FIRST),
        "mapped": lambda wrap: jax.vmap(lambda x: pulled(x[None], wrap))(X),
    }
    for name, way in ways.items():
        got, expected = way(WRAP), way(lambda f: f)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_guided_network_has_no_other_kernels():
    denoiser = Denoiser(sdes.VP(), predictions.Noise(), lambda p, x, t, c: network(x), None)
    guided = guidance.DPS(denoiser, observations.SuperResolution(noise=0.1, factor=2))
    y = {"observation": jnp.zeros((2, 3, 3, 3))}
    found = kernels(lambda x: guided(x, 0.5, y).x0, X)
    assert len(found) == 4 and set(found) == {"(3, 2, 0, 1)"}
