"""The bias of a convolution: with the map or apart, and a derivative that loses nothing."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde.networks import layers


def test_apart_from_the_map_it_is_the_same_sum():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    conv = layers.Conv(5)
    variables = conv.init(jax.random.key(1), x)
    variables["params"]["bias"] = jnp.arange(5.0)
    y, bias = conv.apply(variables, x, apart=True)
    np.testing.assert_array_equal(bias, jnp.arange(5.0))
    np.testing.assert_allclose(y + bias, conv.apply(variables, x), rtol=1e-6)


def test_its_derivative_is_summed_in_its_own_type():
    """In bfloat16 a sum of ones stops at 256."""
    y, bias = jnp.zeros((8, 32, 32, 4), jnp.bfloat16), jnp.zeros(4)
    gradient = jax.jit(jax.grad(lambda b: layers.add_bias(y, b).astype(jnp.float32).sum()))(bias)
    assert gradient.dtype == jnp.float32
    np.testing.assert_array_equal(gradient, 8 * 32 * 32)


def test_both_modes_are_those_of_a_plain_sum():
    y, bias = jax.random.normal(jax.random.key(0), (2, 3, 3, 4)), jnp.arange(4.0)

    def plain(y, b):
        return y + b

    tangents = (jnp.sin(y), jnp.cos(bias))
    for one, other in zip(
        jax.jvp(layers.add_bias, (y, bias), tangents),
        jax.jvp(plain, (y, bias), tangents),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    found, expected = (jax.vjp(f, y, bias)[1](jnp.sin(y)) for f in (layers.add_bias, plain))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    batched = jax.vmap(layers.add_bias, (0, None))(jnp.stack([y, 2 * y]), bias)
    np.testing.assert_array_equal(batched[1], 2 * y + bias)
