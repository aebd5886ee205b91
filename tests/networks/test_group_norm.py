"""Group normalization against its definition; samples apart; one form on CPUs, one elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import layers

SHAPE, GROUPS = (3, 4, 2, 12), 3


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, SHAPE).astype(np.float32)
    return x, rng.normal(size=12).astype(np.float32), rng.normal(size=12).astype(np.float32)


def normalize(x, scale, bias):
    variables = {"params": {"scale": scale, "bias": bias}}
    return layers.GroupNorm(GROUPS).apply(variables, x)


def test_it_is_its_definition(arrays):
    x, scale, bias = arrays
    grouped = x.astype(np.float64).reshape(3, 8, GROUPS, 4)
    mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    expected = ((grouped - mean) / np.sqrt(variance + 1e-6)).reshape(SHAPE) * scale + bias
    np.testing.assert_allclose(normalize(*arrays), expected, rtol=1e-5, atol=1e-5)


def test_derivatives_in_both_modes_agree(arrays):
    x, scale, bias = arrays
    v, g = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)
    _, tangent = jax.jvp(lambda x: normalize(x, scale, bias), (x,), (v,))
    _, pullback = jax.vjp(lambda x: normalize(x, scale, bias), x)
    np.testing.assert_allclose(np.sum(g * tangent), np.sum(pullback(g)[0] * v), rtol=1e-4)
    # What moves a group as a whole, or stretches it, changes nothing.
    _, along = jax.jvp(lambda x: normalize(x, scale, bias), (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(along, 0, atol=1e-5)


def test_a_sample_that_is_not_finite_spoils_no_other(arrays):
    x, scale, bias = arrays
    broken = x.copy()
    broken[1, 0, 0, 0] = np.nan
    whole, spoilt = normalize(*arrays), normalize(broken, scale, bias)
    np.testing.assert_array_equal(np.delete(spoilt, 1, axis=0), np.delete(whole, 1, axis=0))


@pytest.mark.parametrize("platform, products", [("cpu", 1), ("cuda", 0), ("tpu", 0)])
def test_only_cpus_spread_moments_by_a_product(platform, products):
    spread = jax.jit(layers._at_channels, static_argnums=1)
    lowered = spread.trace(jnp.ones((2, 3)), 12).lower(lowering_platforms=(platform,))
    assert lowered.as_text().count("dot_general") == products


def test_the_product_is_the_repetition_to_the_bit():
    moment = np.random.default_rng(2).normal(0, 1e10, (5, 8)).astype(np.float32)
    spread = jax.jit(layers._at_channels, static_argnums=1)(moment, 24)
    np.testing.assert_array_equal(spread, np.repeat(moment, 3, axis=1))
