"""Dropout: the share it keeps, its scale, and the same decisions in both forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from scoresde.networks import dropout

SHAPE = (16, 8, 8, 32)


def drop(x, rate=0.1, key=0, deterministic=False):
    layer = dropout.Dropout(rate, deterministic)
    return layer.apply({}, x, rngs={"dropout": jax.random.key(key)})


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("shape", [SHAPE, (16, 8, 8, 30)])
def test_the_rate_and_the_scale_are_right(rate, shape):
    y = np.asarray(drop(jnp.ones(shape), rate))
    kept = y != 0
    assert abs(kept.mean() - (1 - rate)) < 4 * np.sqrt(rate * (1 - rate) / y.size)
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-4)


def test_neither_pixels_nor_samples_nor_keys_share_decisions():
    kept = np.asarray(drop(jnp.ones(SHAPE), 0.5)) != 0
    other = np.asarray(drop(jnp.ones(SHAPE), 0.5, key=1)) != 0
    flat = np.stack([*kept.reshape(16, -1), *other.reshape(16, -1)]) - 0.5
    correlation = np.corrcoef(flat) - np.eye(32)
    assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])
    # The four decisions of one call.
    fours = kept.reshape(-1, 4) - 0.5
    assert np.abs(np.corrcoef(fours.T) - np.eye(4)).max() < 5 / np.sqrt(len(fours))


def test_each_form_has_the_same_decisions(monkeypatch):
    key, below = jax.random.key(3), 58982
    packed = dropout.bernoulli(key, below, SHAPE)
    assert not np.array_equal(packed, jax.random.bernoulli(key, below / 2**16, SHAPE))
    monkeypatch.setattr(lax, "platform_dependent", lambda *arrays, tpu, default: tpu(*arrays))
    np.testing.assert_array_equal(packed, dropout.bernoulli(key, below, SHAPE))


def test_it_does_nothing_where_it_is_told_so():
    x = jnp.ones(SHAPE)
    assert drop(x, deterministic=True) is x and drop(x, rate=0.0) is x
    np.testing.assert_array_equal(drop(x, rate=1.0), 0)


def test_a_value_that_is_not_finite_goes_where_it_is_dropped():
    y = np.asarray(drop(jnp.full(SHAPE, jnp.inf), 0.5))
    assert set(np.unique(y)) == {0.0, np.inf}


def test_keys_of_another_kind_are_taken_too():
    kept = dropout.bernoulli(jax.random.key(0, impl="rbg"), 2**15, SHAPE)
    assert abs(np.mean(kept) - 0.5) < 0.02


def test_the_derivative_goes_through_what_was_kept():
    x = jnp.ones(SHAPE)
    gradient = jax.grad(lambda x: drop(x).sum())(x)
    np.testing.assert_array_equal(gradient, drop(x))
