"""The bundled sets."""

import subprocess
import sys

import numpy as np
import pytest

from scoresde import data


@pytest.mark.parametrize(
    ("name", "train", "test", "shape", "bins", "labels"),
    [("digits", 1500, 297, (8, 8, 1), 17, 10), ("emoji32", 1688, 218, (32, 32, 3), 256, 9)],
)
def test_a_bundled_set_is_what_its_page_says(name, train, test, shape, bins, labels):
    source = data.get(name)
    assert source.name == name
    assert {key: len(split) for key, split in source.splits.items()} == {
        "train": train,
        "test": test,
    }
    assert source.image_shape == shape and source.bins == bins
    assert len(source.label_names) == labels
    assert "CC BY 4.0" in source.attribution
    for split in source.splits.values():
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32
        assert split.images.max() == bins - 1  # the levels are all that there are
        assert set(split.labels) == set(range(labels))


def test_digits_are_the_published_ones():
    # The first image of the set is a zero: a dark center in a bright ring.
    train = data.get("digits").splits["train"]
    np.testing.assert_array_equal(train.images[0, 3, :, 0], [0, 4, 12, 0, 0, 8, 8, 0])
    np.testing.assert_array_equal(train.labels[:4], [0, 1, 2, 3])


def test_importing_the_package_is_light():
    code = (
        "import sys, scoresde.data; scoresde.data.get('digits');"
        "print([m for m in ('grain', 'tensorflow_datasets', 'PIL', 'tensorflow') "
        "if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
