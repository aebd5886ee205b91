"""Dropout: the share it keeps, its scale, and the same decisions in both forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from scoresde.networks import dropout
from scoresde.registry import UsageError

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
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5])  # of a half, one bit of each decision is enough
def test_neither_pixels_nor_samples_nor_keys_share_decisions(rate):
    kept = np.asarray(drop(jnp.ones(SHAPE), rate)) != 0
    other = np.asarray(drop(jnp.ones(SHAPE), rate, key=1)) != 0
    flat = np.stack([*kept.reshape(16, -1), *other.reshape(16, -1)]) - 0.5
    correlation = np.corrcoef(flat) - np.eye(32)
    assert np.abs(correlation).max() < 5 / np.sqrt(flat.shape[1])
    # The four decisions of one call.
    fours = kept.reshape(-1, 4) - 0.5
    assert np.abs(np.corrcoef(fours.T) - np.eye(4)).max() < 5 / np.sqrt(len(fours))


def test_each_form_has_the_same_decisions(monkeypatch):
    key, below = jax.random.key(3), 58982
    decide = dropout.bernoulli.__wrapped__  # anew, and not as it was traced before
    packed = decide(key, below, SHAPE)
    assert not np.array_equal(packed, jax.random.bernoulli(key, below / 2**16, SHAPE))
    monkeypatch.setattr(lax, "platform_dependent", lambda *arrays, tpu, default: tpu(*arrays))
    np.testing.assert_array_equal(packed, decide(key, below, SHAPE))


def test_it_does_nothing_where_it_is_told_so():
    x = jnp.ones(SHAPE)
    assert drop(x, deterministic=True) is x and drop(x, rate=0.0) is x
    np.testing.assert_array_equal(drop(x, rate=1.0), 0)
    narrow = jax.grad(lambda x: drop(x, rate=1.0).sum())(x.astype(jnp.float16))
    np.testing.assert_array_equal(narrow, 0)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(UsageError, match=f"not {rate}"):
        drop(jnp.ones(SHAPE), rate)


@pytest.mark.parametrize("shape", [(), (0,), (0, 4)])
def test_a_number_and_no_number_are_taken(shape):
    assert drop(jnp.ones(shape)).shape == shape


def test_more_numbers_than_a_word_counts_are_left_to_jax():
    def operations(count):
        traced = jax.make_jaxpr(lambda key: dropout.bernoulli(key, 2**15, (count, 8)))
        return str(traced(jax.random.key(0)))

    assert "threefry2x32" in operations(2**29 - 1)
    assert "threefry2x32" not in operations(2**29) and "random_bits" in operations(2**29)


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


def test_layers_of_one_shape_share_what_decides():
    layers = nn.Sequential([dropout.Dropout(0.1, False), dropout.Dropout(0.1, False)])
    x, keys = jnp.ones(SHAPE), {"dropout": jax.random.key(0)}
    text = jax.jit(lambda x: layers.apply({}, x, rngs=keys)).lower(x).as_text()
    assert text.count("func.func private @bernoulli") == 1
    assert text.count("call @bernoulli") == 2
