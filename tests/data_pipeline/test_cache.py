"""A cache directory: what is decoded once, with all that a split carries."""

import json

import numpy as np
import pytest

from scoresde import data
from scoresde.data.cache import cached
from scoresde.registry import UsageError

IMAGES = np.arange(8, dtype=np.uint8).reshape(4, 1, 2, 1)


def decode(work):
    """Four images with text in memory, and features that are written beside the images."""
    images, features = IMAGES, np.arange(12.0, dtype=np.float32).reshape(4, 3)
    if work is not None:
        np.save(work / "train_image.npy", images)
        np.save(work / "train_features.npy", features)
        features = np.load(work / "train_features.npy", mmap_mode="r")  # writing it again ruins it
    named = {"text": np.arange(4, dtype=np.int16), "features": features}
    splits = {"train": data.Split(images, [0, 1, 0, 1], named)}
    return data.Source(name="mine", splits=splits, bins=8, label_names=("a", "b"))


def test_a_cache_keeps_labels_bins_and_further_arrays(tmp_path):
    first = cached(str(tmp_path / "cache"), {"option": 1}, decode)
    second = cached(str(tmp_path / "cache"), {"option": 1}, None)  # which decodes nothing
    for source in (cached(None, {}, decode), first, second):
        split = source.splits["train"]
        assert source.name == "mine" and source.bins == 8 and source.label_names == ("a", "b")
        np.testing.assert_array_equal(split.images, IMAGES)
        np.testing.assert_array_equal(split.labels, [0, 1, 0, 1])
        assert split.named["text"].dtype == np.int16 and split.named["features"].dtype == "f4"
        np.testing.assert_array_equal(split.named["text"], np.arange(4))
        np.testing.assert_array_equal(split.named["features"].ravel(), np.arange(12))
    assert isinstance(second.splits["train"].named["features"].base, np.memmap)


def test_a_cache_of_an_older_version_still_loads(tmp_path):
    cached(str(tmp_path / "cache"), {}, decode)
    note = tmp_path / "cache" / "source.json"
    written = json.loads(note.read_text())
    written["levels"] = written.pop("bins")
    note.write_text(json.dumps(written))
    assert cached(str(tmp_path / "cache"), {}, None).bins == 8


def test_a_cache_made_with_other_options_is_refused(tmp_path):
    cached(str(tmp_path / "cache"), {"size": 1}, decode)
    with pytest.raises(UsageError, match=r"was made with .*1}, not .*2}"):
        cached(str(tmp_path / "cache"), {"size": 2}, decode)
