"""EDM's augmentation against the paper's table, and maps of images against analytic images."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import augmentations
from scoresde.augmentations.warp import FILTER
from scoresde.registry import UsageError

SHAPE = (12, 16, 2)
IMAGES = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)


def drawn(**letters):
    values = dict.fromkeys(augmentations.Drawn._fields, 0.0) | letters
    return augmentations.Drawn(**jax.tree.map(jnp.float32, values))


augment = jax.jit(lambda augmentation, key, x: augmentation(key, x), static_argnums=0)
warped = jax.jit(augmentations.warped)


@pytest.fixture(scope="module")
def apply():
    """GeometricAugmentation().apply, compiled."""
    return jax.jit(augmentations.GeometricAugmentation().apply)


def test_the_filter_is_orthonormal_with_six_vanishing_moments():
    shifted = [FILTER[2 * k :] @ FILTER[: len(FILTER) - 2 * k] for k in range(6)]
    np.testing.assert_allclose(shifted, [1, 0, 0, 0, 0, 0], atol=1e-11)
    n = np.arange(len(FILTER)) - 5.5
    moments = [((-1.0) ** np.arange(len(FILTER)) * n**p) @ FILTER for p in range(6)]
    np.testing.assert_allclose(moments, 0, atol=1e-8)


def test_a_map_that_moves_nothing_changes_nothing():
    found = warped(IMAGES[0], jnp.eye(2), jnp.zeros(2))
    np.testing.assert_allclose(found, IMAGES[0], atol=2e-5)


@pytest.mark.parametrize(("right", "down"), [(4, -3), (-15, 11), (16, 0)])
def test_whole_pixels_are_copied_and_the_border_reflected(apply, right, down):
    """A shift of as much as the image; there is more of it than `np.pad` reflects at once."""
    height, width = SHAPE[:2]
    found = apply(IMAGES[0], drawn(a6=8 * right / width, a7=8 * down / height))
    padded = np.pad(IMAGES[0], ((20, 20), (20, 20), (0, 0)), mode="reflect")
    want = padded[20 - down : 20 - down + height, 20 - right : 20 - right + width]
    np.testing.assert_allclose(found, want, atol=1e-4)


# The table's maps of homogeneous (x, y), x to the right and y down.
def scale2d(x, y):
    return np.diag([x, y, 1.0])


def rotate2d(angle):
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def translate2d(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


def table(a, width, height):
    """The maps of the paper's table 6, the last one first."""
    stretch = 2 ** (0.2 * a["a5"])
    return (
        translate2d(a["a6"] / 8 * width, a["a7"] / 8 * height)
        @ (rotate2d(-a["a4"]) @ scale2d(stretch, 1 / stretch) @ rotate2d(a["a4"]))
        @ rotate2d(-a["a3"])
        @ scale2d(2 ** (0.2 * a["a2"]), 2 ** (0.2 * a["a2"]))
        @ scale2d(1, 1 - 2 * a["a1"])
        @ scale2d(1 - 2 * a["a0"], 1)
    )


def smooth(x, y, height, width):
    """A smooth image whose continuation is its own reflection; positions from the center."""
    u = math.pi * (x + (width - 1) / 2) / (width - 1)
    v = math.pi * (y + (height - 1) / 2) / (height - 1)
    waves = np.cos(u) + 0.5 * np.cos(3 * v), np.cos(2 * u) * np.cos(v) + 0.3 * np.cos(3 * u)
    return np.stack(waves, axis=-1)


LETTERS = {
    "x_flip": {"a0": 1.0},
    "y_flip": {"a1": 1.0},
    "scale": {"a2": 1.3},
    "turn": {"a3": 0.7},
    "stretch": {"a4": 0.4, "a5": -1.1},
    "shift": {"a6": 0.37, "a7": -0.61},
    "all": {"a0": 1.0, "a2": -0.8, "a3": 2.5, "a4": -1.2, "a5": 0.9, "a6": -0.5, "a7": 0.3},
}


@pytest.mark.parametrize("name", LETTERS)
def test_a_smooth_image_is_moved_as_the_table_says(apply, name):
    height, width = 24, 32
    letters = dict.fromkeys(augmentations.Drawn._fields, 0.0) | LETTERS[name]
    y, x = np.mgrid[:height, :width] - np.reshape([(height - 1) / 2, (width - 1) / 2], (2, 1, 1))
    image = smooth(x, y, height, width)
    found = apply(jnp.asarray(image, jnp.float32), drawn(**letters))
    out = np.stack([x, y, np.ones_like(x)])
    source = np.einsum("ij,jhw->ihw", np.linalg.inv(table(letters, width, height)), out)
    want = smooth(source[0], source[1], height, width)
    # Between samples half a pixel apart, bilinear interpolation is off by f'' / 32.
    np.testing.assert_allclose(found, want, atol=0.012)
    assert np.abs(want - image).max() > 0.4


def test_images_of_few_pixels():
    for shape in ((1, 1, 1), (2, 5, 1)):
        image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        found = warped(image, jnp.eye(2), jnp.zeros(2))
        np.testing.assert_allclose(found, image, atol=1e-5)


def test_the_labels_of_the_table():
    a = drawn(a0=1, a1=1, a2=0.3, a3=2.0, a4=-1.0, a5=0.7, a6=0.1, a7=-0.2)
    want = [1, 1, 0.3, np.cos(2) - 1, np.sin(2), 0.7 * np.cos(1), -0.7 * np.sin(1), 0.1, -0.2]
    np.testing.assert_allclose(a.labels, want, rtol=1e-6)
    np.testing.assert_array_equal(drawn().labels, np.zeros(9))


def test_without_a_chance_nothing_happens(key):
    never = augmentations.GeometricAugmentation(probability=0.0, x_flip=0.0)
    images, labels = augment(never, key, IMAGES)
    np.testing.assert_array_equal(images, IMAGES)  # to the bit
    np.testing.assert_array_equal(labels, np.zeros((5, 9)))


def test_mirrored_images_are_mirrored_exactly_and_labeled(key):
    """EDM draws this flip for every image, whatever the probability of the rest."""
    flips = augmentations.GeometricAugmentation(probability=0.0)
    images = np.repeat(IMAGES, 40, axis=0)
    found, labels = augment(flips, key, images)
    mirrored = labels[:, 0] == 1
    assert 60 < mirrored.sum() < 140 and set(np.unique(labels[:, 0])) == {0, 1}
    np.testing.assert_array_equal(found[mirrored], images[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(found[~mirrored], images[~mirrored])
    assert not labels[:, 1:].any()


def test_a_batch_gives_what_its_images_give_one_by_one(key):
    augmentation = augmentations.GeometricAugmentation(probability=0.7)
    keys = jax.random.split(key, len(IMAGES))
    images, labels = augment(augmentation, keys, IMAGES)
    assert all(np.abs(images - IMAGES).max(axis=(1, 2, 3)) > 0.01)
    for i in (0, 3):
        image, label = augment(augmentation, keys[i : i + 1], IMAGES[i : i + 1])
        np.testing.assert_allclose(image[0], images[i], atol=1e-5)
        np.testing.assert_array_equal(label[0], labels[i])


def test_what_is_drawn_has_the_chances_and_the_spread_of_the_paper(key):
    augmentation = augmentations.GeometricAugmentation(probability=0.12)
    count = 20_000
    a = jax.jit(jax.vmap(augmentation.draw))(jax.random.split(key, count))
    a = {name: np.asarray(value) for name, value in a._asdict().items()}
    tolerance = 4 * np.sqrt(0.12 / count)
    assert np.mean(a["a0"]) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(count))
    assert np.mean(a["a1"]) == pytest.approx(0.06, abs=tolerance)
    for name in ("a2", "a3", "a5", "a6", "a7"):
        assert np.mean(a[name] != 0) == pytest.approx(0.12, abs=tolerance)
    assert np.mean(a["a4"] != 0) == pytest.approx(0.06, abs=tolerance)  # half of the stretches
    np.testing.assert_array_equal(a["a6"] != 0, a["a7"] != 0)
    assert not np.array_equal(a["a2"] != 0, a["a3"] != 0)
    for name in ("a2", "a5", "a6", "a7"):
        assert np.std(a[name][a[name] != 0]) == pytest.approx(1.0, abs=0.06)
    for name in ("a3", "a4"):
        angles = a[name][a[name] != 0]
        assert np.abs(angles).max() <= np.pi
        assert np.std(angles) == pytest.approx(np.pi / np.sqrt(3), abs=0.1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"probability": 1.5}, "probability must be 0 .. 1, got 1.5"),
        ({"x_flip": -0.1}, "x_flip must be 0 .. 1"),
        ({"scale": -1.0}, "scale must be a number from 0 on"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        augmentations.GeometricAugmentation(**options)


def test_data_that_are_no_images_are_refused(key):
    with pytest.raises(UsageError, match=r"not of data \[3, 2\]"):
        augmentations.GeometricAugmentation()(key, jnp.zeros((3, 2)))
