"""Batches for evaluation: every image once."""

import numpy as np
import pytest

from scoresde import data
from scoresde.registry import UsageError


def numbered(n, width=4):
    """A split whose image i, unflipped, starts with the two bytes of i; labels are i."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (n, 2, width, 3), dtype=np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.arange(n) % 256, np.arange(n) // 256
    return data.Split(images, np.arange(n))


def test_evaluation_keeps_the_tail():
    split = numbered(11)
    found = list(data.batches(split, 4))
    assert [b["image"].shape for b in found] == [(4, 2, 4, 3)] * 3
    assert [b["mask"].sum() for b in found] == [4, 4, 3]
    seen = np.concatenate([b["label"][b["mask"]] for b in found])
    np.testing.assert_array_equal(seen, np.arange(11))
    np.testing.assert_array_equal(found[2]["image"][3], split.images[10])  # a copy of the last
    np.testing.assert_array_equal(np.concatenate([b["index"] for b in found]), np.arange(12))
    assert found[0]["mask"].dtype == bool and found[0]["index"].dtype == np.int32


def test_evaluation_over_processes():
    split = numbered(13)
    parts = [list(data.batches(split, 2, process_index=i, process_count=3)) for i in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3]
    together = [np.concatenate([b[k] for b in bs]) for bs in zip(*parts) for k in ("index",)]
    np.testing.assert_array_equal(np.concatenate(together), np.arange(18))
    seen = [b["label"][b["mask"]] for part in parts for b in part]
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(13))


def test_evaluation_errors_come_before_the_first_batch():
    with pytest.raises(UsageError, match="batch_size"):
        data.batches(numbered(3), 0)
    (batch,) = data.batches(numbered(3), 8)
    assert batch["mask"].sum() == 3
