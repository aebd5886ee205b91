"""Every dequantiser: a normalised density, noise that stays in its bin, and images on the grid."""

import functools
import math

import jax
import numpy as np
import pytest

from scoresde import sdes
from scoresde.dequantization import Flow, TruncatedNormal, Uniform
from scoresde.keys import sample_keys
from scoresde.registry import UsageError

SHAPE = (2, 2, 2)
DRAWS = 20_000


@pytest.fixture(scope="module", params=["uniform", "narrow", "wide", "flow"])
def dequantizer(request, network, moved):
    if request.param == "uniform":
        return Uniform()
    if request.param == "flow":
        return Flow(network=network, params=moved)
    std = 0.1 if request.param == "narrow" else 30.0
    return TruncatedNormal(std=std, data_range=(-1.0, 1.0))


@functools.partial(jax.jit, static_argnames="bins")
def run(dequantizer, key, levels, bins=4):
    return dequantizer(key, levels, bins)


def test_importance_weights_give_the_probability_of_the_image(dequantizer):
    """E[p(x) / q(u)] is p's mass in the image's bins, for whatever noise: q is normalised.

    The density p is N(0, 1/4) in every pixel, of an image in four bins on [-1, 1].
    """
    levels = np.random.default_rng(0).integers(0, 4, SHAPE)
    images = np.broadcast_to(levels, (DRAWS, *SHAPE))
    unit, log_q = run(dequantizer, jax.random.key(1), images)
    assert (np.floor(np.asarray(unit) * 4) == levels).all()
    x = 2 * np.asarray(unit, np.float64).reshape(DRAWS, -1) - 1
    log_p = np.sum(-2 * x**2 - math.log(0.5 * math.sqrt(2 * math.pi)), axis=1)
    log_weight = log_p + 8 * math.log(0.5) - np.asarray(log_q, np.float64)

    edges = [math.erf((2 * k / 4 - 1) * math.sqrt(2)) / 2 for k in range(5)]
    truth = sum(math.log(edges[k + 1] - edges[k]) for k in levels.ravel())
    assert log_weight.mean() < truth + 4 * log_weight.std() / math.sqrt(DRAWS)
    if isinstance(dequantizer, TruncatedNormal) and dequantizer.std < 1:
        return  # its weights are too uneven to average; its density is tested below
    weight = np.exp(log_weight - truth)
    error = weight.std() / math.sqrt(DRAWS)
    assert error < 0.1 and abs(weight.mean() - 1) < 4 * error


def test_noise_stays_in_its_bin_and_comes_from_the_images_own_key(dequantizer):
    key = jax.random.key(3)
    levels = (np.arange(640 * 8) % 256).reshape(640, *SHAPE)
    together = run(dequantizer, key, levels, 256)
    assert (np.floor(np.asarray(together.unit) * 256) == levels).all() and together.unit.max() < 1
    alone = run(dequantizer, sample_keys(key, 1, first=4), levels[4:5], 256)
    np.testing.assert_allclose(alone.unit[0], together.unit[4], atol=1e-7)
    np.testing.assert_allclose(alone.log_q[0], together.log_q[4], atol=1e-4)
    noise = np.asarray(together.unit) * 256 - levels
    assert np.abs(noise[4] - noise[3]).max() > 1e-3


@pytest.mark.parametrize(
    "levels, message",
    [
        (np.full((1, *SHAPE), 4), "levels 4 .. 4, but 4 bins"),
        (np.full((1, *SHAPE), -1), "-1"),
        (np.full((1, *SHAPE), 0.5), "integer levels"),
    ],
)
def test_images_off_the_grid_are_refused(dequantizer, levels, message):
    with pytest.raises(UsageError, match=message) as error:
        dequantizer(jax.random.key(0), levels, 4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("std_in_bins", [1e-4, 0.05, 0.3, 1.0, 1e4])
def test_the_truncated_normals_moments_and_entropy(std_in_bins):
    """Against closed forms in double precision, from a thousandth of a bin to 10 000 bins."""
    dequantizer = TruncatedNormal(std=std_in_bins * 2 / 17, data_range=(-1.0, 1.0))
    levels = np.zeros((400, 10, 10), np.int32)
    unit, log_q = dequantizer(jax.random.key(0), levels, 17)
    u = np.asarray(unit, np.float64) * 17 - 0.5
    half = 0.5 / std_in_bins
    mass = math.erf(half / math.sqrt(2))
    density_at_end = math.exp(-(half**2) / 2) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * half * density_at_end / mass if half > 1e-3 else half**2 / 3
    std = std_in_bins * math.sqrt(variance)
    assert abs(u.mean()) < 4 * std / 200
    assert u.std() == pytest.approx(std, rel=0.02)
    log_density = -0.5 * variance - math.log(std_in_bins * math.sqrt(2 * math.pi) * mass)
    spread = float(4 * np.std(np.asarray(log_q)) / math.sqrt(400) + 1e-4)
    assert np.mean(np.asarray(log_q)) == pytest.approx(100 * log_density, abs=spread)
    if std_in_bins == 1e4:
        np.testing.assert_allclose(log_q, 0, atol=1e-4)  # it is the uniform one


def test_the_truncated_normal_of_a_process():
    for name in ("vp", "ve", "edm"):
        sde = sdes.SDES[name]()
        t = 2 * sde.t_min
        std = float(sde.sigma(t) / sde.alpha(t))
        assert TruncatedNormal.std_of(sde, t) == pytest.approx(std, rel=1e-4)
    with pytest.raises(UsageError, match="positive std"):
        TruncatedNormal(std=0.0, data_range=(-1.0, 1.0))
