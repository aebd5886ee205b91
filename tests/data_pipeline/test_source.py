"""Sources by name and of one's own: what they hold, and what a wrong one raises."""

import numpy as np
import pytest

from scoresde import data
from scoresde.registry import UsageError

IMAGES = np.array([0, 5], np.uint8).reshape(2, 1, 1, 1)


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


def test_a_source_of_ones_own_is_reached_by_its_module():
    source = data.get("scoresde.data.embedded:digits")
    assert source.name == "digits"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": 4}, "reach 5, but bins=4 allows 0 .. 3; set bins to 6"),
        ({"bins": 257}, "must be 2 .. 256"),
        ({"bins": None}, "images of 'mine' are uint8, and their number .* given as bins"),
        ({"label_names": ("a",)}, "labels of 'mine' span 0 .. 1, but there are 1 label names"),
        ({"splits": {}}, "has no splits"),
        (
            {"splits": {"train": data.Split(IMAGES / 255)}},
            r"float64, and bins=6 needs uint8 .* \(255 \* x\).* or set bins=None for real data",
        ),
        (
            {"splits": {"train": data.Split(np.array([[0.0], [np.nan]]))}, "bins": None},
            "train data of 'mine' hold values that are not finite",
        ),
    ],
)
def test_values_that_are_not_what_the_source_says_are_refused(options, message):
    good = {
        "name": "mine",
        "splits": {"train": data.Split(IMAGES, np.array([0, 1]))},
        "bins": 6,
        "label_names": ("a", "b"),
    }
    data.Source(**good)
    with pytest.raises(UsageError, match=message) as error:
        data.Source(**(good | options))
    assert "\n" not in str(error.value)


def test_real_data_have_no_bins():
    source = data.Source(name="points", splits={"train": data.Split(np.ones((4, 2)))}, bins=None)
    assert source.bins is None and source.image_shape == (2,)


def test_splits_must_have_one_shape():
    splits = {"train": data.Split(IMAGES), "test": data.Split(np.zeros((2, 1, 2, 1), np.uint8))}
    with pytest.raises(UsageError, match="images of one shape"):
        data.Source(name="mine", splits=splits)
    splits = {
        "train": data.Split(IMAGES, named={"text": np.zeros((2, 3))}),
        "test": data.Split(IMAGES, named={"text": np.zeros((2, 4))}),
    }
    with pytest.raises(UsageError, match="'text' of one shape"):
        data.Source(name="mine", splits=splits)


def named(*names):
    return data.Source(name="mine", splits={"train": data.Split(IMAGES)}, label_names=names)


def test_a_label_is_given_by_its_number_or_its_name():
    source = named("cats", "dogs", "3")
    for label in ("dogs", 1, "1", "#1", np.int64(1)):
        assert source.label_number(label) == 1
    assert source.label_number("3") == 2  # no number of a class
    assert data.get("emoji32").label_number(data.get("emoji32").label_names[5]) == 5


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("dog", r"must be 0 \.\. 2, or its name: cats, dogs, 1; got 'dog'\. Did you mean 'dogs'"),
        (3, r"must be 0 \.\. 2"),
        ("11", "got '11'[.]$"),  # a number is no misspelled name
        (-1, r"must be 0 \.\. 2"),
        ("#7", r"must be 0 \.\. 2"),
        ("1.0", r"must be 0 \.\. 2"),
        ("1", "name of class 2 and the number of class 'dogs': give '#2' or '#1'"),
    ],
)
def test_a_label_that_there_is_not_is_one_line(label, message):
    with pytest.raises(UsageError, match=message) as error:
        named("cats", "dogs", "1").label_number(label)
    assert "\n" not in str(error.value)
