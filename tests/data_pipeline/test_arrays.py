"""Data from .npz files and directories of .npy files."""

import json

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


def test_further_arrays_go_with_their_split(tmp_path):
    images, text = pictures(5), np.arange(10, dtype=np.int16).reshape(5, 2)
    is_test = np.array([0, 1, 0, 0, 1], bool)
    left_alone = {"caption": np.array(list("abcde")), "mean": np.zeros(3), "scale": np.float32(2)}
    np.savez(tmp_path / "mine.npz", image=images, is_test=is_test, text=text, **left_alone)
    splits = data.get("arrays", path=str(tmp_path / "mine.npz")).splits
    assert set(splits["train"].named) == {"text"} and splits["train"].named["text"].dtype == "i2"
    np.testing.assert_array_equal(splits["train"].named["text"], text[[0, 2, 3]])
    np.testing.assert_array_equal(splits["test"].named["text"], text[[1, 4]])

    np.savez(tmp_path / "parts.npz", train_image=images, train_text=text, test_image=images[:2])
    splits = data.get("arrays", path=str(tmp_path / "parts.npz")).splits
    np.testing.assert_array_equal(splits["train"].named["text"], text)
    assert not splits["test"].named


def test_further_arrays_of_a_directory_are_memory_mapped(tmp_path):
    np.save(tmp_path / "train_image.npy", pictures(4))
    np.save(tmp_path / "train_text_mask.npy", np.arange(8).reshape(4, 2))
    split = data.get("arrays", path=str(tmp_path)).splits["train"]
    assert isinstance(split.named["text_mask"].base, np.memmap)
    np.testing.assert_array_equal(split.batch(slice(1, 3))["text_mask"], [[2, 3], [4, 5]])


def test_the_number_of_levels_is_bins_and_in_older_files_levels(tmp_path):
    images = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    for name in ("bins", "levels"):
        np.savez(tmp_path / f"{name}.npz", image=images, **{name: 4})
        assert data.get("arrays", path=str(tmp_path / f"{name}.npz")).bins == 4
        assert data.get("arrays", path=str(tmp_path / f"{name}.npz"), bins=17).bins == 17
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "test_image.npy", images)
        (folder / "source.json").write_text(json.dumps({name: 4}))
        assert data.get("arrays", path=str(folder)).bins == 4
    np.savez(tmp_path / "none.npz", image=images)
    assert data.get("arrays", path=str(tmp_path / "none.npz")).bins == 256
    assert data.get("arrays", path=str(tmp_path / "none.npz"), levels=5).bins == 5


def test_real_data_are_read_without_bins(tmp_path):
    points = np.random.default_rng(0).normal(size=(6, 2))
    np.savez(tmp_path / "points.npz", train_image=points, train_label=np.arange(6) % 3)
    source = data.get("arrays", path=str(tmp_path / "points.npz"))
    assert source.bins is None and source.image_shape == (2,)
    assert source.label_names == ("0", "1", "2")
    np.testing.assert_array_equal(source.splits["train"].images, points)
    with pytest.raises(UsageError, match="bins=256 needs uint8 levels"):
        data.get("arrays", path=str(tmp_path / "points.npz"), bins=256)


def test_files_of_another_layout_are_refused(tmp_path):
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
    np.savez(tmp_path / "wide.npz", image=pictures(3).astype(np.int64))
    with pytest.raises(UsageError, match="not an array of int64"):
        data.get("arrays", path=str(tmp_path / "wide.npz"))
    np.savez(tmp_path / "clash.npz", train_image=pictures(3), train_mask=np.zeros(3))
    with pytest.raises(UsageError, match="cannot be called 'mask'"):
        data.get("arrays", path=str(tmp_path / "clash.npz"))
    np.savez(tmp_path / "short.npz", train_image=pictures(3), train_text=np.zeros(2))
    with pytest.raises(UsageError, match="'text' must have shape"):
        data.get("arrays", path=str(tmp_path / "short.npz"))
    with pytest.raises(UsageError, match="needs the option 'path'"):
        data.get("arrays")
