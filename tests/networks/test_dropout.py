"""Dropout, of which one random word decides for two numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks.layers import Dropout


def drop(x, rate, seed=0, train=True):
    return Dropout(rate, train).apply({}, x, rngs={"dropout": jax.random.key(seed)})


@pytest.mark.parametrize("rate", [0.1, 0.13, 0.5, 0.9])
def test_each_number_is_dropped_with_its_rate_and_independently_of_the_others(rate):
    shape = (64, 32, 31)  # an odd number of features: a word of which one half is left over
    x = jnp.full(shape, 3.0)
    y = np.asarray(drop(x, rate))
    kept = y != 0
    share = round((1 - rate) * 2**16) / 2**16
    np.testing.assert_allclose(y[kept], 3 / share, rtol=1e-6)
    assert abs(share - (1 - rate)) < 2**-17 + 1e-9

    error = 5 * np.sqrt(rate * (1 - rate) / kept[..., 0].size)
    assert np.abs(kept.mean((0, 1)) - share).max() < error  # of each feature, in either half
    correlation = np.corrcoef(kept.reshape(-1, 31).T) - np.eye(31)
    assert np.abs(correlation).max() < 5.5 / np.sqrt(kept[..., 0].size)
    assert np.abs(np.corrcoef(kept.reshape(64, -1)) - np.eye(64)).max() < 5.5 / np.sqrt(32 * 31)
    assert np.abs(np.asarray(drop(x, rate, seed=1)) - y).max() > 1


def test_what_is_dropped_has_no_gradient_and_nothing_to_say():
    x = jnp.arange(1.0, 65).reshape(4, 16).at[0, 0].set(jnp.nan).at[0, 8].set(jnp.nan)
    y, pullback = jax.vjp(lambda x: drop(x, 0.5, seed=3), x)
    (gradient,) = pullback(jnp.ones_like(x))
    np.testing.assert_array_equal(gradient, np.where(y == 0, 0.0, 2.0))
    assert 16 < np.sum(y == 0) < 48
    seeds = [np.asarray(drop(x, 0.5, seed)) for seed in range(20)]
    assert any(y[0, 0] == 0 for y in seeds)  # a NaN, too, is gone


def test_without_training_or_with_no_rate_nothing_is_drawn():
    x = jnp.ones((2, 4), jnp.bfloat16)
    assert Dropout(0.5, train=False).apply({}, x) is x
    assert Dropout(0.0, train=True).apply({}, x) is x
    assert drop(x, 0.25).dtype == jnp.bfloat16
