"""Kernel distances: by brute force, and as the published tools report them."""

import math

import numpy as np
import pytest
from golden_numbers import ARRAYS, NUMBERS, sets

from scoresde import metrics
from scoresde.metrics import kernel_distance
from scoresde.registry import UsageError

KID = NUMBERS["small"]["kid"]


def by_brute_force(x, y):
    def kernel(a, b):
        return (sum(float(p) * float(q) for p, q in zip(a, b)) / len(a) + 1) ** 3

    def within(z):
        pairs = [kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j]
        return sum(pairs) / len(pairs)

    between = [kernel(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


@pytest.mark.parametrize("block", [2, 3, 100])
def test_the_estimate_is_the_mean_over_pairs_whatever_the_blocks(block, monkeypatch):
    monkeypatch.setattr(kernel_distance, "BLOCK", block)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(1.0, 2.0, size=(5, 3))
    np.testing.assert_allclose(metrics.kid_all(x, y), by_brute_force(x, y), rtol=1e-12)


def test_the_estimate_has_no_bias():
    """In one dimension, of N(0, 1) and N(1, 1): moments 1, 0, 1, 0 and 1, 1, 2, 4 of powers 0 to 3.

    E k(x, y) = sum_i binom(3, i) E[x^i] E[y^i], so that MMD^2 = sum_i binom(3, i) (difference)^2.
    """
    exact = 3 * 1 + 3 * 1 + 1 * 16
    rng = np.random.default_rng(0)
    found = [
        metrics.kid_all(rng.normal(size=(20, 1)), rng.normal(1, 1, size=(30, 1)))
        for _ in range(2000)
    ]
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / math.sqrt(len(found))


def test_a_seed_draws_the_subsets_that_torch_fidelity_draws():
    found = metrics.kid(*sets("small"), 10, 100, 2020)
    np.testing.assert_allclose(found.mean, KID["mean_float64"], rtol=1e-12)
    np.testing.assert_allclose(found.std, KID["std_float64"], rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, KID["standard_error_float64"], rtol=1e-12)
    np.testing.assert_allclose(found[:2], [KID["mean"], KID["std"]], atol=2e-7)  # its float32
    other = metrics.kid(*sets("small"), 10, 100, 7)
    expected = list(NUMBERS["small"]["kid_rng_seed_7_float64"].values())
    np.testing.assert_allclose(other[:2], expected, rtol=1e-12)


def test_of_2048_numbers_an_image_too():
    found, kid = metrics.kid(*sets("big"), 5, 100), NUMBERS["big"]["kid"]
    np.testing.assert_allclose(found[:2], [kid["mean_float64"], kid["std_float64"]], rtol=1e-12)


def test_subsets_may_be_given_by_their_rows():
    rows = ARRAYS["kid_gen_indices"], ARRAYS["kid_ref_indices"]
    drawn = metrics.kid(*sets("small"), 10, 100, 2020)
    assert metrics.kid(*sets("small"), seed_or_indices=rows) == drawn
    assert metrics.kid(*sets("small"), 10, 100, list(rows)) == drawn
    one = metrics.kid(*sets("small"), seed_or_indices=tuple(r[3:4] for r in rows))
    np.testing.assert_allclose(one.mean, ARRAYS["kid_per_subset_float64"][3], rtol=1e-11)
    assert one.std == 0 and math.isnan(one.standard_error)


@pytest.mark.parametrize("block", [1024, 128, 90])
def test_blocks_are_those_of_tfgan_with_its_standard_error(block):
    found = metrics.kid_blocks(*sets("small"), block)
    mean, error = NUMBERS["small"]["tfgan"][f"kernel_block{block}_float64"]
    np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(found.standard_error, math.nan if error is None else error)


@pytest.mark.parametrize("name", ["small", "big"])
def test_the_estimate_of_all_samples_takes_sets_of_unequal_sizes(name):
    gen, ref = sets(name)
    expected = NUMBERS[name]["mmd2_all_samples_float64"]
    np.testing.assert_allclose(metrics.kid_all(gen, ref), expected, rtol=1e-12)
    shuffled = [np.random.default_rng(0).permutation(x) for x in (gen, ref)]
    np.testing.assert_allclose(metrics.kid_all(*shuffled), expected, rtol=1e-12)


def test_a_distance_below_zero_is_reported_as_it_is():
    x = np.random.default_rng(0).normal(size=(50, 4))
    assert metrics.kid_all(x, x) < 0


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda x: metrics.kid(x, x[:9], 5, 10), "Subsets of 10 .* 20 generated and 9 reference"),
        (lambda x: metrics.kid(x, x), "Subsets of 1000 cannot be drawn"),
        (lambda x: metrics.kid(x, x[:, :2], 5, 5), "3 and 2 numbers an image"),
        (lambda x: metrics.kid(x, x, 0, 5), "number of subsets must be at least 1"),
        (lambda x: metrics.kid(x, x, 5, 1), "size of a subset must be at least 2"),
        (lambda x: metrics.kid(x, x, 5, 2.5), "must be an integer"),
        (lambda x: metrics.kid(x, x, 5, 5, -1), "seed must be an integer"),
        (lambda x: metrics.kid(x, x, 5, 5, None), "seed must be an integer"),
        (lambda x: metrics.kid(x, x, seed_or_indices=([[0, 20]], [[0, 1]])), "from 0 to 19"),
        (lambda x: metrics.kid(x, x, seed_or_indices=([[0.5, 1]], [[0, 1]])), "be integers"),
        (lambda x: metrics.kid(x, x, seed_or_indices=([[0, 1]],)), "a pair"),
        (lambda x: metrics.kid(x, x, 2, 2, ([[0, 1]], [[0, 1]])), "2 subsets of 2"),
        (lambda x: metrics.kid(x / 0, x), "finite"),
        (lambda x: metrics.kid_blocks(x, x[:3], 8), "3 blocks cannot be cut"),
        (lambda x: metrics.kid_all(x[:1], x), "at least 2 rows, got 1"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_cannot_be_compared_is_refused_in_a_line(call, words):
    with pytest.raises(UsageError, match=words) as error:
        call(np.random.default_rng(0).normal(size=(20, 3)))
    assert "\n" not in str(error.value)
