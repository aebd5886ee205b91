"""Biases: of a convolution with the map or apart, and a derivative that loses nothing."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import layers


def test_apart_from_the_map_it_is_the_same_sum():
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    conv = layers.Conv(5)
    variables = conv.init(jax.random.key(1), x)
    variables["params"]["bias"] = jnp.arange(5.0)
    y, bias = conv.apply(variables, x, apart=True)
    np.testing.assert_array_equal(bias, jnp.arange(5.0))
    np.testing.assert_allclose(y + bias, conv.apply(variables, x), rtol=1e-6)
    without = layers.Conv(5, use_bias=False)
    z, nothing = without.apply({"params": {"kernel": variables["params"]["kernel"]}}, x, apart=True)
    np.testing.assert_array_equal(z, y)
    np.testing.assert_array_equal(nothing, jnp.zeros(5))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv(4, 1, dtype=jnp.bfloat16),
        layers.NIN(4, dtype=jnp.bfloat16),
        layers.Dense(4, dtype=jnp.bfloat16),
    ],
)
@pytest.mark.parametrize("shape", [(8, 32, 32, 3), (1, 32, 32, 3)])
def test_derivatives_are_summed_in_the_types_of_biases(layer, shape):
    """In bfloat16 a sum of ones stops at 256."""
    x = jnp.zeros(shape)
    params = layer.init(jax.random.key(0), x)["params"]

    def total(params):
        return layer.apply({"params": params}, x).astype(jnp.float32).sum()

    gradient = jax.jit(jax.grad(total))(params)
    bias = gradient.get("bias", gradient.get("b"))
    assert bias.dtype == jnp.float32
    np.testing.assert_array_equal(bias, np.prod(shape[:3]))


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
    _, along = jax.jvp(lambda bias: layers.add_bias(y, bias), (bias,), (jnp.cos(bias),))
    np.testing.assert_allclose(along, jnp.broadcast_to(jnp.cos(bias), y.shape), rtol=1e-6)


def test_samples_are_kept_apart_until_each_is_summed():
    y, bias = jnp.ones((2, 3, 3, 4)), jnp.arange(4.0)
    pulled = jax.jit(lambda g: jax.vjp(lambda bias: layers.add_bias(y, bias), bias)[1](g))
    assert "optimization_barrier" in pulled.lower(y).as_text()  # else XLA makes one sum of both


def test_along_the_map_alone_nothing_is_added():
    y, bias = jnp.ones((2, 3, 3, 4)), jnp.arange(4.0)

    def along(y):
        return jax.jvp(lambda y: layers.add_bias(y, bias), (y,), (y,))[1]

    def pulled(y):
        return jax.vjp(lambda y: layers.add_bias(y, bias), y)[1](y)[0]

    for f in (along, pulled):
        text = jax.jit(f).lower(y).as_text()
        assert "stablehlo.add" not in text and "barrier" not in text
        np.testing.assert_array_equal(f(y), y)


def test_layers_of_one_shape_share_their_derivative():
    layers_of_one_shape = nn.Sequential([layers.Dense(4), layers.Dense(4), layers.Dense(4)])
    x = jnp.ones((2, 4))
    variables = layers_of_one_shape.init(jax.random.key(0), x)
    gradient = jax.grad(lambda variables: layers_of_one_shape.apply(variables, x).sum())
    text = jax.jit(gradient).lower(variables).as_text()
    assert text.count("func.func private @plus_bias") == 2  # it, and its transpose
