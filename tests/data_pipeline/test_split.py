"""Splits: images or real data, and the further arrays that records carry."""

import numpy as np
import pytest

from scoresde import data
from scoresde.registry import UsageError

IMAGES = np.zeros((3, 4, 4, 1), np.uint8)


def test_further_arrays_keep_their_type_and_may_be_memory_mapped(tmp_path):
    np.save(tmp_path / "text.npy", np.arange(6, dtype=np.int16).reshape(3, 2))
    mapped = np.load(tmp_path / "text.npy", mmap_mode="r")
    split = data.Split(IMAGES, named={"text": mapped, "weight": [0.5, 1.0, 1.5]})
    assert split.named["text"] is mapped and split.named["text"].dtype == np.int16
    assert split.named["weight"].dtype == np.float64
    batch = split.batch(np.array([2, 0]))
    assert set(batch) == {"image", "label", "text", "weight"}
    np.testing.assert_array_equal(batch["text"], [[4, 5], [0, 1]])


def test_a_part_has_the_same_rows_of_everything():
    images = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    part = data.Split(images, [4, 5, 6], {"text": np.arange(3)}).part(np.array([2, 1]))
    assert part.images.ravel().tolist() == part.named["text"].tolist() == [2, 1]
    assert part.labels.tolist() == [6, 5]


def test_real_data_of_any_shape_are_taken_as_they_are():
    for shape in ((3, 1), (3, 2), (3, 4, 4, 1)):
        split = data.Split(np.zeros(shape))
        assert split.real and split.image_shape == shape[1:] and split.images.dtype == np.float64
    assert not data.Split(IMAGES).real


def test_a_repr_is_one_short_line_whatever_the_data():
    images = np.zeros((5000, 8, 8, 1), np.uint8)
    split = data.Split(images, named={"text": np.zeros((5000, 16), np.int32)})
    assert repr(split) == "Split(5000 x uint8[8, 8, 1], text int32[16])"
    source = data.Source(name="a\nb", splits={"train": split, "test": split.part(slice(10))})
    assert "\n" not in repr(source) and len(repr(source)) < 200
    assert "\n" not in repr(source.splits)
    assert "bins=17, 10 labels" in repr(data.get("digits"))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.int32), None, "uint8 for images .* not an array of int32"),
        ([[1, 2]], None, "not a builtins.list"),
        (IMAGES[..., 0], None, "add a channel axis"),
        (IMAGES[:0], None, "at least one record"),
        (np.zeros(3), None, r"data\[:, None\]"),
        (IMAGES, np.zeros(2, int), "one for each of 3 images"),
        (IMAGES, np.zeros(3), "Labels must be integers"),
        (IMAGES, np.array([0, 1, 2**32]), "numbers of classes, not as large as 4294967296"),
    ],
)
def test_arrays_of_another_type_or_shape_are_refused(images, labels, message):
    with pytest.raises(UsageError, match=message) as error:
        data.Split(images, labels)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((name, np.zeros(3), f"cannot be called '{name}'") for name in data.split.TAKEN),
        ("", np.zeros(3), "cannot be called ''"),
        (1, np.zeros(3), "cannot be called 1"),
        ("text", np.zeros(2), r"'text' must have shape \[n, ...\], one row for each of 3 images"),
        ("text", np.array(1.0), r"not \(\)"),
        ("text", np.array(["a", "b", "c"]), "not an array of <U1: give text as its tokens"),
        ("text", [None] * 3, "not an array of object"),
    ],
)
def test_further_arrays_that_no_batch_can_carry_are_refused(name, value, message):
    with pytest.raises(UsageError, match=message) as error:
        data.Split(IMAGES, named={name: value})
    assert "\n" not in str(error.value)
