"""Moments of features are those of all of them, however they come."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from golden_numbers import ARRAYS

from scoresde import metrics
from scoresde.registry import UsageError, UsageWarning


def parts(x, *cuts):
    return np.split(x, cuts)


def assert_equal(moments, mean, covariance, rtol=1e-13):
    np.testing.assert_allclose(moments.mean, mean, rtol=rtol)
    np.testing.assert_allclose(moments.covariance, covariance, atol=rtol * np.abs(covariance).max())


@pytest.mark.parametrize("name", ["gen", "ref"])
def test_the_moments_are_those_that_numpy_computes_of_all_at_once(name):
    moments = metrics.Statistics().update(ARRAYS[name]).result()
    assert_equal(moments, ARRAYS[f"{name}_mu"], ARRAYS[f"{name}_sigma"])
    assert moments.num == len(ARRAYS[name])
    mean, covariance = moments
    assert mean is moments.mean and covariance is moments.covariance


def test_neither_batches_nor_processes_nor_order_change_the_moments():
    x = ARRAYS["gen"]
    whole, batched = metrics.Statistics().update(x).result(), metrics.Statistics()
    for part in parts(x, 1, 8, 8, 300):  # a batch of one image, and one of none
        batched.update(part)
    first, second, empty = (metrics.Statistics() for _ in range(3))
    first.update(x[:100])
    second.update(x[100:250]).update(x[250:])
    merged = metrics.Statistics().merge(first).merge(empty).merge(second)
    shuffled = metrics.Statistics().update(np.random.default_rng(0).permutation(x))
    for statistics in (batched, merged, shuffled):
        moments = statistics.result()
        assert_equal(moments, whole.mean, whole.covariance)
        assert moments.num == 500


def test_features_far_from_zero_keep_their_covariance():
    x = np.random.default_rng(0).normal(size=(1000, 3))
    statistics = metrics.Statistics()
    for part in parts(x + 1e6, 10, 500):
        statistics.update(part)
    assert_equal(statistics.result(), 1e6 + x.mean(axis=0), np.cov(x.T), rtol=1e-9)


def test_a_million_alike_rows_in_float32_are_added_up_in_float64():
    row = np.float32([0.1, 3.3])
    statistics = metrics.Statistics()
    for _ in range(10):
        statistics.update(np.broadcast_to(row, (100_000, 2)))
    moments = statistics.result()
    np.testing.assert_array_equal(moments.mean, row.astype(np.float64))
    np.testing.assert_array_equal(moments.covariance, np.zeros((2, 2)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "uint8"])
def test_features_of_any_type_are_taken_as_they_are_from_numpy_and_jax(dtype):
    x = jnp.asarray(np.random.default_rng(0).uniform(0, 200, (50, 4)), dtype)
    as_float = np.asarray(x.astype(jnp.float32), np.float64)
    for features in (x, np.asarray(x)):
        moments = metrics.Statistics().update(features).result()
        assert_equal(moments, as_float.mean(axis=0), np.cov(as_float.T))


def test_what_are_no_features_is_refused_in_a_line_and_changes_nothing():
    statistics = metrics.Statistics().update(np.ones((3, 2)))
    for wrong, words in {
        "a shape": (np.ones(3), r"\[n, d\].*\(3,\)"),
        "images": (np.ones((2, 4, 4, 3)), "the shape"),
        "no numbers": (np.ones((3, 0)), "the shape"),
        "another length": (np.ones((3, 5)), "there were 2 .* now there are 5"),
        "not finite": (np.array([[0, 1], [np.nan, 0]]), "row 1 of 2 has NaN"),
        "complex": (np.ones((3, 2), complex), "real numbers"),
        "a word": ("features", "real numbers"),
        "ragged": ([[1.0], [1.0, 2.0]], "real numbers"),
    }.values():
        with pytest.raises(UsageError, match=words) as error:
            statistics.update(wrong)
        assert "\n" not in str(error.value)
    assert statistics.num == 3
    with pytest.raises(UsageError, match="one kind"):
        statistics.merge(metrics.Statistics().update(np.ones((2, 7))))


def test_a_covariance_takes_two_images_and_says_when_they_are_too_few():
    with pytest.raises(UsageError, match="at least 2 images, got 1"):
        metrics.Statistics().update(np.ones((1, 4))).result()
    with pytest.warns(UsageWarning, match="4 images for 4 numbers"):
        metrics.Statistics().update(np.eye(4)).result()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics.Statistics().update(np.eye(5)[:, :4]).result()
