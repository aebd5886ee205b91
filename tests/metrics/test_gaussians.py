"""The Frechet distance of Gaussians, where it is known."""

import numpy as np
import pytest
from golden_numbers import DATA, NUMBERS, features, sets

from scoresde import metrics
from scoresde.metrics import gaussians, moments
from scoresde.registry import UsageError

EXACT = dict(np.load(DATA / "numbers" / "gaussians.npz"))


def random_covariance(rng, d):
    factor = rng.normal(size=(d, d))
    return factor @ factor.T / d


@pytest.mark.parametrize("case", sorted({name.partition("/")[0] for name in EXACT}))
def test_distances_are_those_computed_in_60_digits(case):
    mu1, sigma1, mu2, sigma2, fd = (
        EXACT[f"{case}/{name}"] for name in ("mu1", "sigma1", "mu2", "sigma2", "fd")
    )
    scale = np.trace(sigma1) + np.trace(sigma2) + np.sum((mu1 - mu2) ** 2)
    for distance in (
        metrics.frechet(mu1, sigma1, mu2, sigma2),
        metrics.frechet(mu2, sigma2, mu1, sigma1),
    ):
        assert type(distance) is float
        assert distance >= 0
        assert abs(distance - fd) <= 1e-12 * scale


def test_of_covariances_that_commute_it_is_that_of_the_standard_deviations():
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(20, 20)))
    a, b, shift = rng.uniform(0, 3, (3, 20))
    first, second = (basis * s**2 @ basis.T for s in (a, b))
    distance = metrics.frechet(np.zeros(20), first, shift, second)
    np.testing.assert_allclose(distance, np.sum(shift**2) + np.sum((a - b) ** 2), rtol=1e-12)


def test_of_an_image_under_a_linear_map_it_is_what_the_optimal_transport_costs():
    """For a positive definite T, which is optimal: E|x - Tx|^2 = tr((1 - T) S (1 - T))."""
    rng = np.random.default_rng(1)
    s, t = random_covariance(rng, 12), random_covariance(rng, 12)
    rest = np.eye(12) - t
    distance = metrics.frechet(np.zeros(12), s, np.zeros(12), t @ s @ t)
    np.testing.assert_allclose(distance, np.trace(rest @ s @ rest), rtol=1e-10)


@pytest.mark.parametrize("name", ["small", "big"])
def test_features_have_the_distance_that_needs_no_matrix_root(name):
    gen, ref = (gaussians.of_features(x) for x in sets(name))
    np.testing.assert_allclose(gen.distance(ref), NUMBERS[name]["fd"]["exact"], rtol=1e-12)


@pytest.mark.parametrize("rows", [(30, 25), (30, 400), (400, 30)])
def test_moments_of_few_images_are_as_far_apart_as_their_features(rows):
    gen, ref = (features(str(n), n, 150, n / 400) for n in rows)
    expected = gaussians.of_features(gen).distance(gaussians.of_features(ref))
    distance = metrics.frechet(*moments.of(gen), *moments.of(ref))
    np.testing.assert_allclose(distance, expected, rtol=1e-12)


def test_a_set_is_at_distance_zero_from_itself_with_more_numbers_than_images():
    gen = moments.of(np.random.default_rng(0).normal(size=(30, 200)))
    assert 0 <= metrics.frechet(*gen, *gen) < 1e-9


def test_neither_rotation_nor_scale_is_lost():
    rng = np.random.default_rng(2)
    first, second = random_covariance(rng, 6), random_covariance(rng, 6)
    basis, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    m = rng.normal(size=6)
    distance = metrics.frechet(m, first, 0 * m, second)
    turned = [basis @ s @ basis.T for s in (first, second)]
    np.testing.assert_allclose(metrics.frechet(basis @ m, turned[0], 0 * m, turned[1]), distance)
    for scale in (1e-20, 1e20):
        scaled = metrics.frechet(scale * m, scale**2 * first, 0 * m, scale**2 * second)
        np.testing.assert_allclose(scaled, scale**2 * distance)


def test_one_number_an_image_may_be_given_without_axes():
    assert metrics.frechet(1.5, 4.0, -0.5, 9.0) == pytest.approx(5.0, abs=1e-12)


def test_a_covariance_rounded_to_float32_is_taken():
    gen = moments.of(np.random.default_rng(0).normal(size=(10, 40)))
    rounded = metrics.frechet(gen.mean, gen.covariance.astype(np.float32), *gen)
    assert 0 <= rounded < 1e-4 * np.trace(gen.covariance)


@pytest.mark.parametrize(
    "mean, covariance, words",
    [
        (np.zeros(3), np.eye(2), r"\(3,\) and \(2, 2\)"),
        (np.zeros((2, 2)), np.eye(2), "got the shapes"),
        (np.zeros(3), np.eye(3), "2 and 3 numbers an image"),
        (np.zeros(2), [[1, 0.5], [0, 1]], "sigma2 is no covariance: it is not symmetric"),
        (np.zeros(2), [[1, 2], [2, 1]], "eigenvalues are from -1 to 3"),
        (np.zeros(2), -np.eye(2), "none may be negative"),
        (np.array([0, np.nan]), np.eye(2), "mu2 has NaN"),
        (np.zeros(2), np.full((2, 2), np.inf), "sigma2 has NaN or infinity"),
        (np.zeros(2), np.eye(2) * 1j, "real numbers"),
        ("mu", np.eye(2), "real numbers"),
        (np.zeros(2), 1e308 * np.eye(2), "too large"),
    ],
)
def test_what_is_no_gaussian_is_refused_in_a_line(mean, covariance, words):
    with pytest.raises(UsageError, match=words) as error:
        metrics.frechet(
            np.zeros(2), 1e308 * np.eye(2) if words == "too large" else np.eye(2), mean, covariance
        )
    assert "\n" not in str(error.value)
