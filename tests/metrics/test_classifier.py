"""The classifiers that ship with the package: what they know, and what they take."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import data
from scoresde.metrics import features
from scoresde.quality import to_8_bits
from scoresde.registry import UsageError


@pytest.fixture(scope="module")
def digits():
    return features.get("digits_classifier")


@pytest.fixture(scope="module")
def images():
    source = data.get("digits")
    return to_8_bits(jnp.asarray(source.splits["test"].images), source.bins)


def test_it_knows_the_digits(digits, images):
    found = digits(images)
    labels = data.get("digits").splits["test"].labels
    assert np.mean(np.argmax(found["logits"], axis=1) == labels) > 0.98
    assert found["features"].shape == (297, digits.dim) and digits.label_names[3] == "3"
    assert not digits.is_inception and len(digits.protocol["sha256"]) == 64


def test_it_knows_most_of_the_pictograms():
    emoji, split = features.get("emoji_classifier"), data.get("emoji32").splits["test"]
    found = emoji(split.images)
    assert np.mean(np.argmax(found["logits"], axis=1) == split.labels) > 0.5
    assert found["features"].shape == (218, emoji.dim)


def test_an_image_has_its_features_in_any_batch_on_any_device_and_as_rgb(digits, images):
    whole = digits(images[:16])["features"]
    alone = jnp.concatenate([digits(images[i : i + 1])["features"] for i in range(3)])
    np.testing.assert_allclose(alone, whole[:3], rtol=1e-5, atol=1e-6)
    rgb = digits(np.repeat(np.asarray(images[:16]), 3, axis=3))["features"]
    np.testing.assert_allclose(rgb, whole, rtol=1e-5, atol=1e-6)
    traced = jax.jit(lambda x: digits(x)["features"])(images[:16])
    np.testing.assert_allclose(traced, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bad", [np.zeros((2, 8, 8, 1)), np.zeros((2, 9, 8, 1), np.uint8)])
def test_other_images_are_refused(digits, bad):
    with pytest.raises(UsageError, match=r"uint8|8x8 pixels"):
        digits(bad)
