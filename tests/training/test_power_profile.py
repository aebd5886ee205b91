"""Profiles of power-function averages and their reconstruction, against EDM2's own numbers."""

import pathlib

import numpy as np
import pytest

from scoresde.registry import UsageError
from scoresde.training import power_profile

GOLDEN = pathlib.Path(__file__).parent.parent / "data/golden/edm2_parts.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return {name.removesuffix("_f64"): value for name, value in file.items()}


def test_exponents_are_the_originals(golden):
    lengths = golden["phema/std"]
    exponents = [power_profile.exponent_of(length) for length in lengths]
    np.testing.assert_allclose(exponents, golden["phema/exponent"], rtol=1e-9)
    again = [power_profile.length_of(exponent) for exponent in exponents]
    np.testing.assert_allclose(again, lengths, rtol=1e-9)
    assert power_profile.exponent_of(power_profile.LONGEST) == pytest.approx(0, abs=1e-9)


def test_the_share_of_the_newest_parameters_is_the_originals(golden):
    steps = golden["phema/beta_nimg"] / golden["phema/beta_batch"]
    for length, beta in zip((0.05, 0.10), golden["phema/beta"], strict=True):
        newest = power_profile.newest_weight(power_profile.exponent_of(length), steps)
        np.testing.assert_allclose(1 - newest, beta, rtol=1e-9)
    assert power_profile.newest_weight(16.97, 1) == 1.0


def test_weights_of_snapshots_are_the_originals(golden):
    given = golden["phema/in_nimg"], golden["phema/in_std"]
    wanted = golden["phema/out_nimg"], golden["phema/out_std"]
    for count, name in ((16, "coefficients"), (10, "coefficients_of_first_10")):
        steps, lengths = (values[:count] for values in given)
        for column, length in enumerate(wanted[1]):
            weights, _ = power_profile.reconstruction(steps, lengths, wanted[0], length)
            expected = golden[f"phema/{name}"][:, column]
            np.testing.assert_allclose(weights, expected, rtol=0, atol=1e-9)
            assert weights.sum() == pytest.approx(1, abs=1e-12)


def test_a_run_is_reconstructed_as_the_originals(golden):
    """A random walk: exact at the lengths followed, and near it at others."""
    steps, lengths = golden["run/snapshot_step"], golden["run/snapshot_std"]
    columns = zip(golden["run/out_std"], golden["run/reconstructed"], golden["run/coefficients"].T)
    for (length, reconstructed, coefficients), truth in zip(
        columns, golden["run/tracked_directly"], strict=True
    ):
        weights, error = power_profile.reconstruction(steps, lengths, 512, length)
        np.testing.assert_allclose(weights, coefficients, rtol=0, atol=1e-9)
        assert weights @ golden["run/snapshot"] == pytest.approx(reconstructed, abs=1e-9)
        directly, exponent = 0.0, power_profile.exponent_of(length)
        for n, theta in enumerate(golden["run/theta"], start=1):
            directly += power_profile.newest_weight(exponent, n) * (theta - directly)
        assert directly == pytest.approx(truth, abs=1e-9)
        if length in (0.05, 0.1):
            assert error < 1e-6 and reconstructed == pytest.approx(truth, abs=1e-9)
        else:
            assert 0.01 < error < 0.11


def test_products_of_profiles_are_integrals():
    steps, exponents = np.array([3.0, 7.0]), np.array([2.5, 0.7])
    t = (np.arange(700_000) + 0.5) * 1e-5
    profiles = [
        np.where(t < end, (g + 1) * t**g / end ** (g + 1), 0.0) for end, g in zip(steps, exponents)
    ]
    expected = [[np.sum(p * q) * 1e-5 for q in profiles] for p in profiles]
    found = power_profile.products(steps, exponents, steps, exponents)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_error_is_that_of_the_profile():
    """Of one snapshot, the profile is the snapshot's, and nothing brings it nearer."""
    weights, error = power_profile.reconstruction(np.array([100]), np.array([0.1]), 100, 0.2)
    np.testing.assert_allclose(weights, [1.0])
    t = (np.arange(100_000) + 0.5) * 1e-5
    one, other = (
        (g + 1) * t**g for g in (power_profile.exponent_of(length) for length in (0.1, 0.2))
    )
    assert error == pytest.approx(np.sqrt(np.sum((one - other) ** 2) / np.sum(other**2)), rel=1e-4)


@pytest.mark.parametrize("length", [0.0, -0.1, 0.2888, 1.0, float("nan")])
def test_lengths_without_a_profile_are_refused(length):
    with pytest.raises(UsageError, match=r"lies above 0 and up to 0.2886"):
        power_profile.exponent_of(length)
