"""Levels, the unit interval and data ranges; keys per sample."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import data
from scoresde.keys import sample_keys
from scoresde.registry import UsageError


def all_levels(bins, repeats):
    """Every level, `repeats` times: uint8 [repeats, bins, 1, 1]."""
    return np.tile(np.arange(bins, dtype=np.uint8).reshape(1, bins, 1, 1), (repeats, 1, 1, 1))


@pytest.mark.parametrize("bins", [17, 256])
def test_dequantized_levels_stay_in_their_cells(key, bins):
    images = all_levels(bins, 500)
    x = data.dequantize(key, images, bins)
    assert x.dtype == jnp.float32 and float(x.min()) > 0 and float(x.max()) < 1
    np.testing.assert_array_equal(data.dequantized_to_images(x, bins), images)


def test_the_extremes_of_the_noise_stay_in_their_cells(monkeypatch):
    # The smallest and the largest u there are, too rare to be met by drawing.
    for bits in (0, 2**16 - 1):
        monkeypatch.setattr(
            jax.random, "bits", lambda key, shape, dtype, bits=bits: jnp.full(shape, bits, dtype)
        )
        for bins in [2, 3, 17, 93, 128, 129, 199, 250, 255, 256]:
            images = np.minimum(all_levels(256, 1), bins - 1)  # one shape for all
            x = data.dequantize(jax.random.key(0), images, bins)
            np.testing.assert_array_equal(data.dequantized_to_images(x, bins), images)


def test_the_noise_is_uniform(key):
    images = all_levels(256, 1000)
    u = np.asarray(data.dequantize(key, images, 256), np.float64) * 256 - images
    n = u.size
    assert abs(u.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / n)
    assert abs(u.var() - 1 / 12) < 4 * np.sqrt(1 / 180 / n)  # the variance of (u - 1/2)^2 is 1/180
    counts = np.histogram(u, bins=64, range=(0, 1))[0]
    assert np.sum((counts - n / 64) ** 2 / (n / 64)) < 63 + 4 * np.sqrt(2 * 63)  # chi-squared
    pairs = np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]
    assert abs(pairs) < 4 / np.sqrt(n)  # neighboring images have noise of their own


def test_noise_does_not_depend_on_the_batch(key):
    images = np.asarray(data.get("digits").splits["test"].images[:10])
    whole = data.dequantize(key, images, 17)
    parts = [data.dequantize(key, images[i : i + 4], 17, first=i) for i in (0, 4, 8)]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    keys = sample_keys(key, 10)
    np.testing.assert_array_equal(whole[3:5], data.dequantize(keys[3:5], images[3:5], 17))
    assert not np.array_equal(whole, data.dequantize(jax.random.key(1), images, 17))


def test_every_sample_has_a_key_of_its_own(key):
    keys = sample_keys(key, 3, first=5)
    assert keys.shape == (3,) and keys.dtype == key.dtype
    for i in range(3):
        want = jax.random.key_data(jax.random.fold_in(key, 5 + i))
        np.testing.assert_array_equal(jax.random.key_data(keys[i]), want)
    assert sample_keys(keys, 3) is keys
    with pytest.raises(UsageError, match=r"one key, or an array of 4 keys, not keys of shape \(3,"):
        sample_keys(keys, 4)
    old = sample_keys(jax.random.PRNGKey(0), 4)
    assert (old == sample_keys(jax.random.key(0), 4)).all()
    with pytest.raises(UsageError, match="not 0"):
        sample_keys(0, 4)


@pytest.mark.parametrize("bins", [2, 17, 200, 256])
@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0), (-0.3, 2.7)])
def test_quantize_inverts_scaling(bins, data_range):
    images = all_levels(bins, 1)
    x = data.scale(data.to_unit(images, bins), data_range)
    assert float(x.min()) == np.float32(data_range[0])
    np.testing.assert_allclose(float(x.max()), data_range[1], rtol=1e-6)
    back = data.quantize(x, data_range, bins)
    assert back.dtype == jnp.uint8
    np.testing.assert_array_equal(back, images)


def test_quantize_takes_the_nearest_level_and_clips():
    # At 17 levels in (-1, 1) the grid is -1, -0.875, ..., 1.
    x = jnp.array([-1.3, -1.0, -0.94, -0.93, 0.062, 0.063, 0.99, 7.0])
    np.testing.assert_array_equal(data.quantize(x, (-1, 1), 17), [0, 0, 0, 1, 8, 9, 16, 16])
    # Unbiased: values spread evenly over the range keep their mean, which truncation lowers.
    x = jnp.linspace(0, 1, 100_001)
    assert abs(float(data.quantize(x, (0, 1)).mean(dtype=jnp.float32)) - 127.5) < 0.01


def test_what_is_not_finite_becomes_a_level_that_is_told():
    """The ends for the infinities, and the middle, which is never black, for NaN."""
    x = jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    for bins in (2, 17, 256):
        want = [bins // 2, bins - 1, 0]
        np.testing.assert_array_equal(data.quantize(x, (-1, 1), bins), want)
        np.testing.assert_array_equal(data.dequantized_to_images(x, bins), want)


def test_unscale_inverts_scale():
    x = jnp.linspace(-3, 3, 50)
    np.testing.assert_allclose(data.unscale(data.scale(x, (-1, 1)), (-1, 1)), x, atol=5e-7)


def test_values_outside_their_range_are_refused():
    with pytest.raises(UsageError, match="low < high"):
        data.scale(0.5, (1, -1))
    with pytest.raises(UsageError, match="low < high"):
        data.quantize(0.5, (0, 0))
    data.check_range(np.array([0.0, 1.0]), (0, 1))
    with pytest.raises(UsageError, match=r"span \[0, 255\], but must lie in \[0, 1\]"):
        data.check_range(np.array([0.0, 255.0]), (0, 1))
    with pytest.raises(UsageError, match="nan"):
        data.check_range(np.array([0.0, np.nan]), (0, 1))


@pytest.mark.parametrize(
    "images, message",
    [
        (np.full((1, 2, 2, 1), 17), "levels 17 .. 17, but 17 bins"),
        (np.full((1, 2, 2, 1), -1), "levels -1 .. -1"),
        (np.full((1, 2, 2, 1), 0.5), "integer levels 0 .. 16"),
    ],
)
def test_images_off_the_grid_are_refused(images, message, key):
    """They would have noise, a value and bits/dim like any other, all of them wrong."""
    for function in (lambda: data.dequantize(key, images, 17), lambda: data.to_unit(images, 17)):
        with pytest.raises(UsageError, match=message) as error:
            function()
        assert "\n" not in str(error.value)
