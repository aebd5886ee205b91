"""Sources: the bundled sets, arrays, folders of pictures, and what a wrong one raises."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.registry import UsageError


def pictures(n, size=6, channels=3, seed=0):
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# Bundled


@pytest.mark.parametrize(
    ("name", "train", "test", "shape", "levels", "labels"),
    [("digits", 1500, 297, (8, 8, 1), 17, 10), ("emoji32", 1688, 218, (32, 32, 3), 256, 9)],
)
def test_bundled(name, train, test, shape, levels, labels):
    source = data.get(name)
    assert source.name == name
    assert {key: len(split) for key, split in source.splits.items()} == {
        "train": train,
        "test": test,
    }
    assert source.image_shape == shape and source.levels == levels
    assert len(source.label_names) == labels
    assert "CC BY 4.0" in source.attribution
    for split in source.splits.values():
        assert split.images.dtype == np.uint8 and split.labels.dtype == np.int32
        assert split.images.max() == levels - 1  # the levels are all that there are
        assert set(split.labels) == set(range(labels))


def test_digits_are_the_published_ones():
    # The first image of the set is a zero: a dark centre in a bright ring.
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


# Names and checks


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


def test_a_source_of_ones_own():
    source = data.get("scoresde.data.embedded:digits")
    assert source.name == "digits"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4, 4, 1), np.float32), None, "uint8 grey levels, not an array of float32"),
        ([[1, 2]], None, "not a builtins.list"),
        (np.zeros((3, 4, 4), np.uint8), None, r"add a channel axis"),
        (np.zeros((0, 4, 4, 1), np.uint8), None, "at least one image"),
        (np.zeros((3, 4, 4, 1), np.uint8), np.zeros(2, int), "one for each of 3 images"),
        (np.zeros((3, 4, 4, 1), np.uint8), np.zeros(3), "Labels must be integers"),
    ],
)
def test_split_checks(images, labels, message):
    with pytest.raises(UsageError, match=message):
        data.Split(images, labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 4}, "reach 5, but levels=4 allows 0 .. 3; set levels to 6"),
        ({"levels": 257}, "must be 2 .. 256"),
        ({"label_names": ("a",)}, "labels of 'mine' span 0 .. 1, but there are 1 label names"),
        ({"splits": {}}, "has no splits"),
    ],
)
def test_source_checks(options, message):
    images = np.array([0, 5], np.uint8).reshape(2, 1, 1, 1)
    good = {
        "name": "mine",
        "splits": {"train": data.Split(images, np.array([0, 1]))},
        "levels": 6,
        "label_names": ("a", "b"),
    }
    data.Source(**good)
    with pytest.raises(UsageError, match=message):
        data.Source(**(good | options))


def test_splits_must_have_one_shape():
    splits = {"train": data.Split(pictures(2)), "test": data.Split(pictures(2, size=5))}
    with pytest.raises(UsageError, match="one shape"):
        data.Source(name="mine", splits=splits)


# Arrays


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


# Folders


@pytest.fixture
def album(tmp_path):
    """Two classes in train, one in test; gives (directory, {relative path: pixels})."""
    written = {}
    names = ["train/cat/1.png", "train/cat/2.png", "train/ant/1.PNG", "test/cat/9.png"]
    for name, image in zip(names, pictures(4)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / name, format="PNG")
        written[name] = image
    (tmp_path / "train/notes.txt").write_text("not an image")
    (tmp_path / "train/cat/.hidden.png").write_text("not an image either")
    return tmp_path, written


def test_folder_with_classes(album):
    root, written = album
    source = data.get("folder", path=str(root))
    assert source.label_names == ("ant", "cat") and source.image_shape == (6, 6, 3)
    train, test = source.splits["train"], source.splits["test"]
    order = ["train/ant/1.PNG", "train/cat/1.png", "train/cat/2.png"]
    np.testing.assert_array_equal(train.images, [written[name] for name in order])
    np.testing.assert_array_equal(train.labels, [0, 1, 1])
    np.testing.assert_array_equal(test.labels, [1])


def test_folder_without_splits_or_classes(tmp_path):
    for i, image in enumerate(pictures(3)):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    source = data.get("folder", path=str(tmp_path))
    assert list(source.splits) == ["train"] and source.label_names == ()
    np.testing.assert_array_equal(source.splits["train"].images, pictures(3))


def test_folder_crops_the_centre_and_resizes_with_antialiasing(tmp_path):
    # Left and right borders are red, the central square a fine black and white chessboard, whose
    # antialiased reduction is grey; nearest-neighbour sampling would give black or white.
    image = np.zeros((32, 64, 3), np.uint8)
    image[..., 0] = 255
    image[:, 16:48] = 255 * (np.indices((32, 32)).sum(0) % 2)[..., None]
    Image.fromarray(image).save(tmp_path / "wide.png")
    pixels = data.get("folder", path=str(tmp_path), image_size=8).splits["train"].images
    assert pixels.shape == (1, 8, 8, 3)
    assert np.abs(pixels.astype(int) - 127).max() < 12
    cropped = data.get("folder", path=str(tmp_path), crop=16, channels=1).splits["train"].images
    np.testing.assert_array_equal(cropped[0, ..., 0], image[8:24, 24:40, 0])


def test_folder_makes_transparency_white_and_reads_palettes(tmp_path):
    clear = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    clear.putpixel((1, 0), (10, 20, 30, 255))
    clear.save(tmp_path / "a.png")
    Image.new("RGB", (2, 2), (255, 0, 0)).convert("P").save(tmp_path / "b.png")
    pixels = data.get("folder", path=str(tmp_path)).splits["train"].images
    np.testing.assert_array_equal(pixels[0, 0], [[255, 255, 255], [10, 20, 30]])
    np.testing.assert_array_equal(pixels[1, 0, 0], [255, 0, 0])


def test_folder_cache(album, tmp_path_factory):
    root, written = album
    cache = tmp_path_factory.mktemp("cache") / "album"
    first = data.get("folder", path=str(root), cache=str(cache))
    (root / "train/cat/1.png").unlink()  # a second use reads the cache alone
    second = data.get("folder", path=str(root), cache=str(cache))
    for source in (first, second):
        assert source.label_names == ("ant", "cat") and source.name == root.name
        assert len(source.splits["train"]) == 3
        np.testing.assert_array_equal(source.splits["test"].images[0], written["test/cat/9.png"])
        np.testing.assert_array_equal(source.splits["train"].labels, [0, 1, 1])
    assert [p.name for p in cache.parent.iterdir()] == ["album"]  # no half-written remains
    with pytest.raises(UsageError, match="was made with"):
        data.get("folder", path=str(root), cache=str(cache), image_size=4)
    with pytest.raises(UsageError, match="holds no decoded images"):
        data.get("folder", path=str(root), cache=str(root))


def test_a_failed_decoding_leaves_no_cache(album, tmp_path_factory):
    root, _ = album
    Image.fromarray(pictures(1, size=7)[0]).save(root / "train/cat/3.png")
    cache = tmp_path_factory.mktemp("cache") / "album"
    with pytest.raises(UsageError, match=r"3\.png' has shape \[7, 7, 3\].* set image_size"):
        data.get("folder", path=str(root), cache=str(cache))
    assert not list(cache.parent.iterdir())


def test_folder_errors(tmp_path, album):
    root, _ = album
    with pytest.raises(UsageError, match="no directory"):
        data.get("folder", path=str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        data.get("folder", path=str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="image_size must be a positive"):
        data.get("folder", path=str(root), image_size=0)
    with pytest.raises(UsageError, match="smaller than crop=9"):
        data.get("folder", path=str(root), crop=9)
    with pytest.raises(UsageError, match="channels must be 1"):
        data.get("folder", path=str(root), channels=4)
    Image.fromarray(pictures(1)[0]).save(root / "train/loose.png")
    with pytest.raises(UsageError, match=r"loose\.png' is in no class folder"):
        data.get("folder", path=str(root))
    (root / "train/loose.png").unlink()
    (root / "train/cat/2.png").write_bytes((root / "train/cat/1.png").read_bytes()[:60])
    with pytest.raises(UsageError, match=r"2\.png' cannot be read as an image"):
        data.get("folder", path=str(root))
    Image.fromarray(np.full((6, 6), 4000, np.uint16)).save(root / "train/cat/2.png")
    with pytest.raises(UsageError, match="more than 8 bits"):
        data.get("folder", path=str(root))
