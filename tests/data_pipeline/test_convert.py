"""`scoresde prepare`: any data set once into arrays that are mapped."""

import errno
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image
from test_archive import LABELS, PIXELS, pack

from scoresde import data
from scoresde.cli import main
from scoresde.data.convert import recognized
from scoresde.registry import UsageError


def pictures(folder, classes, start=0):
    """A folder with a picture for each class of the list, in a folder of its name."""
    for i, name in enumerate(classes):
        path = folder / name / f"{start + i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[(start + i) % 4]).save(path)
    return str(folder)


def reads(out):
    """What training reads there, which must be mapped."""
    source = data.get("arrays", path=str(out))
    assert all(isinstance(split.images.base, np.memmap) for split in source.splits.values())
    return source


def assert_same(left, right):
    assert left.splits.keys() == right.splits.keys() and left.label_names == right.label_names
    for key, split in left.splits.items():
        np.testing.assert_array_equal(split.images, right.splits[key].images)
        np.testing.assert_array_equal(split.labels, right.splits[key].labels)


def test_what_a_word_stands_for(tmp_path):
    (tmp_path / "arrays").mkdir()
    (tmp_path / "arrays" / "train_image.npy").touch()
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "dataset.json").touch()
    for name in ("a.zip", "a.npz", "a-r08.tfrecords", "a.txt"):
        (tmp_path / name).touch()
    for what, name in (
        ("", "folder"), ("arrays", "arrays"), ("pack", "zip"), ("a.zip", "zip"),
        ("a.npz", "arrays"), ("a-r08.tfrecords", "tfrecords"),
    ):  # fmt: skip
        path = str(tmp_path / what)
        assert recognized(path, data.SOURCES) == {"name": name, "path": path}
    assert recognized("tfds:lsun/church", {}) == {"name": "tfds", "dataset": "lsun/church"}
    assert recognized("digits", data.SOURCES) == {"name": "digits"}
    assert recognized("mine:source", data.SOURCES) == {"name": "mine:source"}
    with pytest.raises(UsageError, match="is no file that images are read of"):
        recognized(str(tmp_path / "a.txt"), data.SOURCES)
    with pytest.raises(UsageError, match="Did you mean 'digits'"):
        recognized("digit", data.SOURCES)


def test_bundled_data_folders_archives_and_arrays_are_read_as_before(tmp_path):
    pictures(tmp_path / "folder" / "train", ["cat", "dog", "dog"])
    pictures(tmp_path / "folder" / "test", ["dog"])
    np.savez(tmp_path / "a.npz", image=PIXELS, label=LABELS, text=np.ones((4, 2), np.float32))
    for i, (what, original) in enumerate(
        (
            ("digits", data.get("digits")),
            (tmp_path / "folder", data.get("folder", path=str(tmp_path / "folder"))),
            (pack(tmp_path / "a.zip"), data.get("zip", path=str(tmp_path / "a.zip"))),
            (tmp_path / "a.npz", data.get("arrays", path=str(tmp_path / "a.npz"))),
        )
    ):
        made = data.prepare_arrays(str(what), tmp_path / f"out{i}")
        found = reads(tmp_path / f"out{i}")
        assert_same(found, original)
        assert_same(made, original)
        assert found.bins == original.bins
    assert found.splits["train"].named["text"].shape == (4, 2)
    inner = [path for path in (tmp_path / "out1").rglob("*") if path.is_dir()]
    assert not inner and not list(tmp_path.glob(".out*"))


def test_images_are_cropped_and_resized_as_a_folder_s_are(tmp_path):
    pictures(tmp_path / "folder", ["a", "b"])
    np.savez(tmp_path / "a.npz", image=PIXELS[:2], label=[0, 1])
    options = {"image_size": 2, "crop": 4, "channels": 1}
    want = data.get("folder", path=str(tmp_path / "folder"), **options).splits["train"].images
    for what in ("folder", "a.npz"):
        data.prepare_arrays(str(tmp_path / what), tmp_path / f"of_{what}", **options)
        found = reads(tmp_path / f"of_{what}").splits["train"]
        np.testing.assert_array_equal(found.images, want)
        assert found.labels.tolist() == [0, 1]
    with pytest.raises(UsageError, match=r"of 17 levels: .*can be resized"):
        data.prepare_arrays("digits", tmp_path / "no", image_size=4)
    assert not list(tmp_path.glob("*no*"))


def test_test_images_from_elsewhere_have_the_classes_of_training(tmp_path):
    train = pictures(tmp_path / "train", ["ant", "bee", "cat"])
    test = pictures(tmp_path / "test", ["bee", "cat"], start=1)
    data.prepare_arrays(train, tmp_path / "out", test=test)
    found = reads(tmp_path / "out")
    assert found.label_names == ("ant", "bee", "cat")
    assert found.splits["test"].labels.tolist() == [1, 2]
    np.testing.assert_array_equal(found.splits["test"].images, PIXELS[1:3])
    assert len(found.splits["train"]) == 3
    for first, second, message in (
        (test, train, "has a class 'ant', which"),
        ("digits", test, "has test images of its own: leave out --test"),
        (train, pack(tmp_path / "a.zip", labels=None), "one has labels and the other none"),
        (train, "digits", "256 levels and 'digits' 17"),
    ):
        with pytest.raises(UsageError, match=message):
            data.prepare_arrays(first, tmp_path / "no", test=second)
    assert not list(tmp_path.glob("*no*"))


def test_a_share_is_held_out_once_and_for_all(tmp_path):
    images = np.arange(50, dtype=np.uint8).reshape(50, 1, 1, 1)
    np.savez(tmp_path / "a.npz", image=images, label=np.arange(50) % 5)
    for name in ("one", "two"):
        data.prepare_arrays(str(tmp_path / "a.npz"), tmp_path / name, test_fraction=0.2)
    found = reads(tmp_path / "one")
    assert_same(found, reads(tmp_path / "two"))
    train, test = (found.splits[key].images.ravel() for key in ("train", "test"))
    assert len(test) == 10 and sorted([*train, *test]) == list(range(50))
    assert np.ptp(np.diff(test.astype(int))) > 0  # at random
    assert all((split.labels == split.images.ravel() % 5).all() for split in found.splits.values())
    for fraction, message in ((0.0, "between 0 and 1"), (0.001, "is none, or all")):
        with pytest.raises(UsageError, match=message):
            data.prepare_arrays(str(tmp_path / "a.npz"), tmp_path / "no", test_fraction=fraction)
    with pytest.raises(UsageError, match="come from one place"):
        data.prepare_arrays("digits", tmp_path / "no", test="digits", test_fraction=0.1)


def test_nothing_is_overwritten_and_what_fails_leaves_nothing(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(UsageError, match="is there already, and nothing is overwritten"):
        data.prepare_arrays("digits", tmp_path / "full")
    folder = pathlib.Path(pictures(tmp_path / "folder", ["a"]))
    (folder / "a" / "z.png").write_bytes(b"broken")
    with pytest.raises(UsageError, match="cannot be read as an image"):
        data.prepare_arrays(str(folder), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "full"]
    (folder / "a" / "z.png").unlink()
    (tmp_path / "out").mkdir()  # empty: nothing is lost
    data.prepare_arrays(str(folder), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "source.json").read_text())["label_names"] == ["a"]


def test_a_disk_without_room_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    """A write through a map would end the process by a signal."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder, share = pictures(tmp_path / "folder", ["a", "b"]), {"test_fraction": 0.5}
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        for source, options in (("digits", {}), (folder, {}), (folder, share)):
            with pytest.raises(UsageError, match=r"cannot be written to \(No space left"):
                data.prepare_arrays(source, tmp_path / "out", **options)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file/out cannot be written to"):
        data.prepare_arrays("digits", tmp_path / "file" / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]

    def unknown(*_):
        raise OSError(errno.EOPNOTSUPP, "of this file system")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    source = data.prepare_arrays("digits", tmp_path / "out")
    images = data.get("digits").splits["train"].images
    np.testing.assert_array_equal(source.splits["train"].images, images)


def test_the_command_says_what_it_wrote_and_how_it_is_trained_on(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", pack(tmp_path / "a.zip"), "--out", "out", "--size", "4"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("out: 4 train images of 4x4x3, 3 classes, ")
    assert f'"source": {{"name": "arrays", "path": "{tmp_path / "out"}"}}' in said
    assert '"image_shape": (4, 4, 3)' in said
    assert main(["prepare", "digits", "--out", "out"]) == 2
    assert main(["prepare", "digits", "--out", "new", "--config.seed=1"]) == 2
    assert main(["prepare", "digits", "--out", "new", "--data_dir", "x"]) == 2
    assert "'digits' has no --data_dir" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
