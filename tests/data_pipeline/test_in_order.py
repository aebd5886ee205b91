"""Batches for evaluation: every image once."""

import numpy as np
import pytest

from scoresde import data
from scoresde.registry import UsageError


def numbered(n):
    """A split whose image i, label i and further arrays hold i."""
    images = np.broadcast_to(np.arange(n, dtype=np.uint8)[:, None, None, None], (n, 2, 4, 3))
    text = np.arange(2 * n, dtype=np.int16).reshape(n, 2)
    return data.Split(images, np.arange(n), {"text": text, "weight": np.arange(n) / 2})


def test_every_image_comes_once_and_copies_fill_the_last_batch():
    split = numbered(11)
    found = list(data.batches(split, 4))
    assert [b["image"].shape for b in found] == [(4, 2, 4, 3)] * 3
    assert [b["mask"].sum() for b in found] == [4, 4, 3]
    seen = np.concatenate([b["label"][b["mask"]] for b in found])
    np.testing.assert_array_equal(seen, np.arange(11))
    np.testing.assert_array_equal(found[2]["image"][3], split.images[10])  # a copy of the last
    np.testing.assert_array_equal(np.concatenate([b["index"] for b in found]), np.arange(12))
    assert found[0]["mask"].dtype == bool and found[0]["index"].dtype == np.int32


def test_processes_share_the_images_in_order():
    split = numbered(13)
    parts = [list(data.batches(split, 2, process_index=i, process_count=3)) for i in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3]
    together = [np.concatenate([b[k] for b in bs]) for bs in zip(*parts) for k in ("index",)]
    np.testing.assert_array_equal(np.concatenate(together), np.arange(18))
    seen = [b["label"][b["mask"]] for part in parts for b in part]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(13))


def test_a_mistake_is_told_before_the_first_batch():
    with pytest.raises(UsageError, match="batch_size"):
        data.batches(numbered(3), 0)
    (batch,) = data.batches(numbered(3), 8)
    assert batch["mask"].sum() == 3


def test_a_batch_carries_the_further_arrays_of_its_images():
    split = numbered(5)
    *_, last = data.batches(split, 3)
    assert set(last) == {"image", "label", "mask", "index", "text", "weight"}
    assert last["text"].dtype == np.int16 and last["weight"].dtype == np.float64
    np.testing.assert_array_equal(last["text"], split.named["text"][[3, 4, 4]])
    np.testing.assert_array_equal(last["weight"], [1.5, 2.0, 2.0])


def test_real_data_come_as_they_are():
    points = np.arange(6.0, dtype=np.float32).reshape(3, 2)
    (batch,) = data.batches(data.Split(points), 4)
    assert batch["image"].dtype == np.float32
    np.testing.assert_array_equal(batch["image"], points[[0, 1, 2, 2]])
