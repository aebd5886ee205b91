"""Frechet distances of endlessly many images, and how far those of few may be off."""

import numpy as np
import pytest
from golden_numbers import ARRAYS, NUMBERS, sets

from scoresde import metrics
from scoresde.metrics import extrapolation, moments
from scoresde.registry import UsageError, UsageWarning

pytestmark = pytest.mark.filterwarnings("ignore::scoresde.registry.UsageWarning")
SMALL = NUMBERS["small"]


def test_a_line_in_1_over_n_is_found_exactly():
    sizes = np.array([10, 20, 50, 1000])
    np.testing.assert_allclose(extrapolation.line(sizes, 3.5 + 70 / sizes), (3.5, 70), rtol=1e-12)


def test_given_rows_give_the_golden_distances_and_the_golden_line():
    gen, ref = sets("small")
    ns, rows = ARRAYS["fdinf_ns"], ARRAYS["fdinf_indices"]
    expected = SMALL["fd_infinity"]
    apart = np.split(rows, np.cumsum(ns)[:-1])
    for sizes, given in ((None, rows), (ns.tolist(), apart)):
        found = metrics.fd_infinity(gen, ref, sizes, given)
        np.testing.assert_allclose(found.distances, ARRAYS["fdinf_fd"], rtol=1e-12)
        np.testing.assert_allclose(found.value, expected["exact_fd_then_line"], rtol=1e-11)
        np.testing.assert_allclose(found.value, expected["dgm_eval"], rtol=1e-7)
        np.testing.assert_allclose(found.slope, expected["slope"], rtol=1e-11)
        np.testing.assert_array_equal(found.sizes, ns)


def test_without_a_seed_the_first_rows_are_taken():
    gen, _ = sets("small")
    reference = ARRAYS["ref_mu"], ARRAYS["ref_sigma"]
    for ref in (reference, moments.Moments(*reference)):
        found = metrics.fd_infinity(gen, ref, seed_or_indices=None)
        np.testing.assert_allclose(found.distances, ARRAYS["fdinf_prefix_fd"], rtol=1e-12)
        expected = list(SMALL["fd_infinity_prefixes"].values())
        np.testing.assert_allclose(found[:2], expected, rtol=1e-11)


def test_a_seed_draws_without_replacement_and_again_alike():
    gen, ref = sets("small")
    sizes = [100, 250, 500]
    found = metrics.fd_infinity(gen, ref, sizes, 3)
    again = metrics.fd_infinity(gen, ref, sizes, 3)
    np.testing.assert_array_equal(found.distances, again.distances)
    np.testing.assert_allclose(found.distances[-1], SMALL["fd"]["exact"], rtol=1e-12)
    assert metrics.fd_infinity(gen, ref, sizes, 4).value != found.value


def test_the_extrapolation_takes_out_the_bias_that_few_images_have():
    """Of N(0, 1) in 20 dimensions with itself, where the true distance is 0."""
    rng = np.random.default_rng(0)
    truth = np.zeros(20), np.eye(20)
    found = metrics.fd_infinity(rng.normal(size=(2000, 20)), truth, np.arange(200, 2001, 200))
    assert found.distances[-1] > 0.04
    assert abs(found.value) < 0.02


def test_the_bootstrap_is_as_wide_as_distances_of_new_sets_are():
    rng = np.random.default_rng(0)
    reference = np.full(4, 1.5), np.eye(4)

    def draw():
        return rng.normal(size=(400, 4))

    fresh = [metrics.frechet(*moments.of(draw()), *reference) for _ in range(200)]
    found = np.mean([metrics.frechet_bootstrap(draw(), reference, 30, s) for s in range(5)])
    np.testing.assert_allclose(found, np.std(fresh), rtol=0.25)


def test_fewer_images_than_numbers_are_said_to_be_too_few():
    gen, ref = sets("small")
    with pytest.warns(UsageWarning, match="64 images for 64 numbers"):
        metrics.fd_infinity(gen, ref, [64, 500])


@pytest.mark.parametrize(
    "options, words",
    [
        ({"sizes": [10, 21]}, "from 2 to 20"),
        ({"sizes": [1, 20]}, "from 2 to 20"),
        ({"sizes": [20, 20]}, "two different ones"),
        ({"sizes": [10.5, 20]}, "integers"),
        ({"sizes": [[10], [20, 3]]}, "integers"),
        ({"ref": np.zeros((9, 3))}, "2 and 3 numbers"),
        ({"ref": (np.zeros(3), np.eye(3))}, "2 and 3 numbers"),
        ({"ref": (np.zeros(2), np.full((2, 2), np.nan))}, "NaN"),
        ({"seed_or_indices": "now"}, "seed must be"),
        ({"sizes": [2, 3], "seed_or_indices": [0, 1, 0, 1]}, "must be 5, the sum"),
        ({"sizes": [2, 3], "seed_or_indices": [[0, 1], [0, 1]]}, "as many as the sizes"),
        ({"sizes": [2, 3], "seed_or_indices": [0, 1, 2, 3, 99]}, "from 0 to 19"),
    ],
)
def test_what_cannot_be_extrapolated_is_refused_in_a_line(options, words):
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(UsageError, match=words) as error:
        metrics.fd_infinity(**{"gen": x, "ref": x, **options})
    assert "\n" not in str(error.value)
