"""Every dequantizer: a normalized density, noise that stays in its bin, and images on the grid."""

import functools
import math

import jax
import numpy as np
import pytest

from scoresde.dequantization import (
    FlowDequantizer,
    TruncatedNormalDequantizer,
    UniformDequantizer,
)
from scoresde.keys import sample_keys
from scoresde.registry import UsageError

SHAPE = (2, 2, 2)
DRAWS = 20_000


@pytest.fixture(scope="module", params=["uniform", "narrow", "wide", "flow"])
def dequantizer(request, network, moved):
    if request.param == "uniform":
        return UniformDequantizer()
    if request.param == "flow":
        return FlowDequantizer(network=network, params=moved)
    std = 0.1 if request.param == "narrow" else 30.0
    return TruncatedNormalDequantizer(std=std, bin_range=(-1.0, 1.0))


@functools.partial(jax.jit, static_argnames="bins")
def run(dequantizer, key, images, bins=4, condition=None):
    return dequantizer(key, images, bins, condition)


def test_importance_weights_give_the_probability_of_the_image(dequantizer):
    """E[p(x) / q(u)] is p's mass in the image's bins, for whatever noise: q is normalized.

    The density p is N(0, 1/4) in every pixel, of an image in four bins on [-1, 1].
    """
    image = np.random.default_rng(0).integers(0, 4, SHAPE)
    images = np.broadcast_to(image, (DRAWS, *SHAPE))
    unit, log_q = run(dequantizer, jax.random.key(1), images)
    assert (np.floor(np.asarray(unit) * 4) == image).all()
    x = 2 * np.asarray(unit, np.float64).reshape(DRAWS, -1) - 1
    log_p = np.sum(-2 * x**2 - math.log(0.5 * math.sqrt(2 * math.pi)), axis=1)
    log_weight = log_p + 8 * math.log(0.5) - np.asarray(log_q, np.float64)

    edges = [math.erf((2 * k / 4 - 1) * math.sqrt(2)) / 2 for k in range(5)]
    truth = sum(math.log(edges[k + 1] - edges[k]) for k in image.ravel())
    assert log_weight.mean() < truth + 4 * log_weight.std() / math.sqrt(DRAWS)
    if isinstance(dequantizer, TruncatedNormalDequantizer) and dequantizer.std < 1:
        return  # its weights are too uneven to average; its density is tested below
    weight = np.exp(log_weight - truth)
    error = weight.std() / math.sqrt(DRAWS)
    assert error < 0.1 and abs(weight.mean() - 1) < 4 * error


def test_noise_stays_in_its_bin_and_comes_from_the_images_own_key(dequantizer):
    key = jax.random.key(3)
    images = (np.arange(640 * 8) % 256).reshape(640, *SHAPE)
    together = run(dequantizer, key, images, 256)
    assert (np.floor(np.asarray(together.unit) * 256) == images).all() and together.unit.max() < 1
    alone = run(dequantizer, sample_keys(key, 1, first=4), images[4:5], 256)
    np.testing.assert_allclose(alone.unit[0], together.unit[4], atol=1e-7)
    np.testing.assert_allclose(alone.log_q[0], together.log_q[4], atol=1e-4)
    noise = np.asarray(together.unit) * 256 - images
    assert np.abs(noise[4] - noise[3]).max() > 1e-3


@pytest.mark.parametrize(
    "images, message",
    [
        (np.full((1, *SHAPE), 4), "levels 4 .. 4, but 4 bins"),
        (np.full((1, *SHAPE), -1), "-1"),
        (np.full((1, *SHAPE), 0.5), "integer levels"),
    ],
)
def test_images_off_the_grid_are_refused(dequantizer, images, message):
    with pytest.raises(UsageError, match=message) as error:
        dequantizer(jax.random.key(0), images, 4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("std_in_bins", [1e-4, 0.05, 0.3, 1.0, 1e4])
def test_the_truncated_normals_moments_and_entropy(std_in_bins):
    """Against closed forms in double precision, from a thousandth of a bin to 10 000 bins."""
    dequantizer = TruncatedNormalDequantizer(std=std_in_bins * 2 / 17, bin_range=(-1.0, 1.0))
    images = np.zeros((400, 10, 10), np.int32)
    unit, log_q = dequantizer(jax.random.key(0), images, 17)
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


@pytest.mark.parametrize("std", [0.0, -1.0, math.inf])
def test_a_truncated_normal_needs_a_positive_std(std):
    with pytest.raises(UsageError, match="positive std"):
        TruncatedNormalDequantizer(std=std, bin_range=(-1.0, 1.0))


def test_the_condition_reaches_a_flow_that_asks_for_it():
    """Each image's own part of it, in a batch as alone: here it shifts the logistic noise."""

    def network(params, noise, image, condition):
        del image
        shift = params * condition["label"].astype(noise.dtype)
        return noise + shift[:, None, None, None], np.zeros(len(noise))

    dequantizer = FlowDequantizer(network=network, params=2.0)
    images, label = np.zeros((3, *SHAPE), np.int32), np.arange(3)
    keys = sample_keys(jax.random.key(0), 3)
    together = run(dequantizer, keys, images, condition={"label": label})
    for i in range(3):
        part = {"label": label[i : i + 1]}
        alone = run(dequantizer, keys[i : i + 1], images[i : i + 1], condition=part)
        np.testing.assert_allclose(alone.unit[0], together.unit[i], atol=1e-7)
        np.testing.assert_allclose(alone.log_q[0], together.log_q[i], rtol=1e-5)
        noise = jax.random.logistic(keys[i], SHAPE)
        np.testing.assert_allclose(4 * together.unit[i], jax.nn.sigmoid(noise + 2 * i), atol=1e-4)


def test_a_condition_changes_nothing_where_nobody_asks_for_it(dequantizer):
    images = np.zeros((4, *SHAPE), np.int32)
    plain = run(dequantizer, jax.random.key(0), images)
    given = run(dequantizer, jax.random.key(0), images, condition={"label": np.arange(4)})
    np.testing.assert_array_equal(given.unit, plain.unit)
    np.testing.assert_array_equal(given.log_q, plain.log_q)
