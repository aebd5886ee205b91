"""Which folders are splits and which are classes, and what is refused because it may be either."""

import pytest
from PIL import Image

from scoresde import data
from scoresde.registry import UsageError, UsageWarning


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(root / name)


def load(root, **options):
    return data.get("folder", path=str(root), **options)


def lengths(source):
    return {key: len(split) for key, split in source.splits.items()}


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val", "VALID"])
def test_a_validation_folder_is_the_test_split_where_there_is_none(tmp_path, name):
    write(tmp_path, "train/cat/1.png", "train/cat/2.png", f"{name}/cat/1.png")
    source = load(tmp_path)
    assert lengths(source) == {"train": 2, "test": 1} and source.label_names == ("cat",)


def test_beside_a_test_folder_it_is_a_split_of_its_own_also_in_a_cache(tmp_path):
    root, cache = tmp_path / "root", tmp_path / "cache"
    write(root, "Train/1.png", "Train/2.png", "Train/3.png", "val/1.png", "testing/1.png")
    for _ in range(2):
        source = load(root, cache=str(cache))
        assert lengths(source) == {"train": 3, "validation": 1, "test": 1}


def test_a_class_called_as_a_split_is_asked_about(tmp_path):
    write(tmp_path, "bus/1.png", "car/1.png", "train/1.png", "train/2.png")
    with pytest.raises(UsageError, match=r"train/ beside bus/, car/.*layout='classes'") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)
    source = load(tmp_path, layout="classes")
    assert source.label_names == ("bus", "car", "train")
    assert source.splits["train"].labels.tolist() == [0, 1, 2, 2]
    with pytest.warns(UsageWarning, match=r"2 beside the splits \(bus/, car/\)"):
        assert lengths(load(tmp_path, layout="splits")) == {"train": 2}


def test_what_holds_no_pictures_makes_no_layout_ambiguous(tmp_path):
    write(tmp_path, "train/1.png", "test/1.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/1.xml").touch()
    with pytest.warns(UsageWarning, match="1 without a picture .annotations/"):
        assert lengths(load(tmp_path)) == {"train": 1, "test": 1}


def test_pictures_beside_the_splits_are_said_or_asked_about(tmp_path):
    write(tmp_path, "preview.png", "test/1.png")
    with pytest.raises(UsageError, match="test/ beside 1 pictures in no folder: move those into"):
        load(tmp_path)
    write(tmp_path, "train/1.png")
    with pytest.warns(UsageWarning, match=r"1 beside the splits \(preview\.png\)"):
        assert lengths(load(tmp_path)) == {"train": 1, "test": 1}


@pytest.mark.parametrize(
    "names, message",
    [
        (["train/1.png", "val/1.png", "valid/1.png"], "val/ and valid/, two folders for one split"),
        (["pets/train/1.png", "pets/test/1.png"], "test/, train/ within pets/: set path to that"),
        (["bottle/test/bad/1.png", "cap/train/1.png"], "test/ within bottle/"),
        (["train2017/1.png", "val2017/1.png"], "which look like splits: rename"),
        (["seg_train/sea/1.png", "seg_test/sea/1.png"], "seg_test/, seg_train/, which look like"),
    ],
)
def test_splits_that_would_be_classes_are_refused_and_may_be_asked_for(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(UsageError, match=message) as error:
        load(tmp_path)
    assert "\n" not in str(error.value) and "layout='classes'" in str(error.value)
    source = load(tmp_path, layout="classes")
    assert source.label_names == tuple(sorted({name.split("/")[0] for name in names}))


def test_classes_with_a_word_of_a_split_are_classes(tmp_path):
    write(tmp_path, "bullet_train/1.png", "steam_train/1.png", "tram/1.png")
    assert len(load(tmp_path).label_names) == 3


def test_layouts_that_there_are_not_are_refused(tmp_path):
    write(tmp_path, "cat/1.png")
    with pytest.raises(UsageError, match="layout must be one of auto, splits, classes"):
        load(tmp_path, layout="flat")
    with pytest.raises(UsageError, match="no folder of pictures for a split"):
        load(tmp_path, layout="splits")
