"""Data from .npz files and directories of .npy files."""

import numpy as np
import pytest

from scoresde import data
from scoresde.registry import UsageError


def pictures(n, size=6, channels=3, seed=0):
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_arrays_with_a_test_mask(tmp_path):
    images, labels = pictures(5), np.array([0, 2, 1, 2, 0])
    is_test = np.array([0, 1, 0, 0, 1], bool)
    np.savez(tmp_path / "mine.npz", image=images, label=labels, is_test=is_test)
    source = data.get("arrays", path=str(tmp_path / "mine.npz"))
    assert source.name == "mine" and source.label_names == ("0", "1", "2")
    np.testing.assert_array_equal(source.splits["train"].images, images[[0, 2, 3]])
    np.testing.assert_array_equal(source.splits["train"].labels, [0, 1, 2])
    np.testing.assert_array_equal(source.splits["test"].images, images[[1, 4]])


def test_arrays_by_split_without_labels(tmp_path):
    np.savez(tmp_path / "mine.npz", train_image=pictures(3), test_image=pictures(2))
    source = data.get("arrays", path=str(tmp_path / "mine.npz"))
    assert len(source.splits["train"]) == 3 and len(source.splits["test"]) == 2
    assert source.label_names == () and not source.splits["train"].labels.any()


def test_a_directory_of_arrays_is_memory_mapped(tmp_path):
    images = pictures(4)
    np.save(tmp_path / "train_image.npy", images)
    np.save(tmp_path / "train_label.npy", np.array([0, 1, 0, 1]))
    split = data.get("arrays", path=str(tmp_path), label_names=("a", "b")).splits["train"]
    assert isinstance(split.images.base, np.memmap)
    np.testing.assert_array_equal(split.images, images)
    batch = next(data.batches(split, 3))
    np.testing.assert_array_equal(batch["image"], images[:3])


def test_arrays_errors(tmp_path):
    with pytest.raises(UsageError, match="no file or directory"):
        data.get("arrays", path=str(tmp_path / "absent.npz"))
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(UsageError, match=r"not an \.npz file"):
        data.get("arrays", path=str(tmp_path / "text.npz"))
    np.savez(tmp_path / "other.npz", x=pictures(2))
    with pytest.raises(UsageError, match="holds x; expected `image`"):
        data.get("arrays", path=str(tmp_path / "other.npz"))
    np.savez(tmp_path / "mask.npz", image=pictures(3), is_test=np.array([0, 1, 0]))
    with pytest.raises(UsageError, match="must be bool"):
        data.get("arrays", path=str(tmp_path / "mask.npz"))
    np.savez(tmp_path / "float.npz", image=pictures(3) / 255)
    with pytest.raises(UsageError, match="not an array of float64"):
        data.get("arrays", path=str(tmp_path / "float.npz"))
    with pytest.raises(UsageError, match="needs the option 'path'"):
        data.get("arrays")
