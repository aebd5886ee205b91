"""Splits and sources: what they are, and what a wrong one raises."""

import numpy as np
import pytest

from scoresde import data
from scoresde.registry import UsageError


def pictures(n, size=6, channels=3, seed=0):
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_unknown_names_and_options_say_what_is_known():
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        data.get("digit")
    with pytest.raises(UsageError, match="no option 'size'"):
        data.get("digits", size=8)
    with pytest.raises(
        UsageError, match=r"'digits' has no split 'validation'\. Known: test, train"
    ):
        data.get("digits").splits["validation"]
    assert "validation" not in data.get("digits").splits


def test_a_source_of_ones_own():
    source = data.get("scoresde.data.embedded:digits")
    assert source.name == "digits"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4, 4, 1), np.float32), None, "uint8 grey levels, not an array of float32"),
        ([[1, 2]], None, "not a builtins.list"),
        (np.zeros((3, 4, 4), np.uint8), None, r"add a channel axis"),
        (np.zeros((0, 4, 4, 1), np.uint8), None, "at least one image"),
        (np.zeros((3, 4, 4, 1), np.uint8), np.zeros(2, int), "one for each of 3 images"),
        (np.zeros((3, 4, 4, 1), np.uint8), np.zeros(3), "Labels must be integers"),
    ],
)
def test_split_checks(images, labels, message):
    with pytest.raises(UsageError, match=message):
        data.Split(images, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 4}, "reach 5, but bins=4 allows 0 .. 3; set bins to 6"),
        ({"bins": 257}, "must be 2 .. 256"),
        ({"label_names": ("a",)}, "labels of 'mine' span 0 .. 1, but there are 1 label names"),
        ({"splits": {}}, "has no splits"),
    ],
)
def test_source_checks(options, message):
    images = np.array([0, 5], np.uint8).reshape(2, 1, 1, 1)
    good = {
        "name": "mine",
        "splits": {"train": data.Split(images, np.array([0, 1]))},
        "bins": 6,
        "label_names": ("a", "b"),
    }
    data.Source(**good)
    with pytest.raises(UsageError, match=message):
        data.Source(**(good | options))


def test_splits_must_have_one_shape():
    splits = {"train": data.Split(pictures(2)), "test": data.Split(pictures(2, size=5))}
    with pytest.raises(UsageError, match="one shape"):
        data.Source(name="mine", splits=splits)
