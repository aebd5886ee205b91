"""The parts of the standard error, against data whose parts are known."""

import numpy as np
import pytest

from scoresde.evaluation import standard_error

IMAGES, PASSES, PROBES = 4000, 4, 6
DATA, NOISE, PROBE = 0.5, 0.3, 0.4  # standard deviations of each source


@pytest.fixture(scope="module")
def simulated():
    """Values [images, passes] and their standard errors over probes."""
    generator = np.random.default_rng(0)
    truth = 2 + DATA * generator.normal(size=(IMAGES, 1, 1))
    noise = NOISE * generator.normal(size=(IMAGES, PASSES, 1))
    estimates = truth + noise + PROBE * generator.normal(size=(IMAGES, PASSES, PROBES))
    return estimates.mean(axis=2), estimates.std(axis=2, ddof=1) / np.sqrt(PROBES)


def test_each_part_is_found(simulated):
    error = standard_error(*simulated)
    assert error.data == pytest.approx(DATA / IMAGES**0.5, rel=0.03)
    assert error.dequantization == pytest.approx(NOISE / (IMAGES * PASSES) ** 0.5, rel=0.03)
    assert error.probes == pytest.approx(PROBE / (IMAGES * PASSES * PROBES) ** 0.5, rel=0.03)
    parts = error.probes**2 + error.dequantization**2 + error.data**2
    assert error.total**2 == pytest.approx(parts)


def test_what_one_pass_cannot_tell_apart_stays_with_the_data(simulated):
    values, stderr = (array[:, :1] for array in simulated)
    error = standard_error(values, stderr)
    assert error.dequantization is None
    assert error.data == pytest.approx(((DATA**2 + NOISE**2) / IMAGES) ** 0.5, rel=0.05)


def test_what_one_probe_cannot_tell_apart_stays_with_the_dequantization(simulated):
    values, stderr = simulated
    error = standard_error(values, np.full_like(stderr, np.nan))
    assert error.probes is None
    together = (NOISE**2 + PROBE**2 / PROBES) / (IMAGES * PASSES)
    assert error.dequantization == pytest.approx(together**0.5, rel=0.03)
    assert error.data == pytest.approx(DATA / IMAGES**0.5, rel=0.03)


def test_one_image_has_no_spread():
    error = standard_error(np.array([[1.0, 3.0]]), np.zeros((1, 2)))
    assert error.total is None and error.data is None
    assert error.dequantization == pytest.approx(1.0)  # sqrt(2) / sqrt(2)
