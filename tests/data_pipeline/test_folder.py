"""Folders of pictures, and the cache of what was decoded."""

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.registry import UsageError

# The album holds what is not read; tests/data_pipeline/test_folder_contents.py says what is said.
pytestmark = pytest.mark.filterwarnings("ignore::scoresde.registry.UsageWarning")


def pictures(n, size=6, channels=3, seed=0):
    shape = (n, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


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


def test_folders_are_classes_numbered_by_name(album):
    root, written = album
    source = data.get("folder", path=str(root))
    assert source.label_names == ("ant", "cat") and source.image_shape == (6, 6, 3)
    train, test = source.splits["train"], source.splits["test"]
    order = ["train/ant/1.PNG", "train/cat/1.png", "train/cat/2.png"]
    np.testing.assert_array_equal(train.images, [written[name] for name in order])
    np.testing.assert_array_equal(train.labels, [0, 1, 1])
    np.testing.assert_array_equal(test.labels, [1])


def test_a_flat_folder_is_an_unlabeled_training_split(tmp_path):
    for i, image in enumerate(pictures(3)):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    source = data.get("folder", path=str(tmp_path))
    assert list(source.splits) == ["train"] and source.label_names == ()
    np.testing.assert_array_equal(source.splits["train"].images, pictures(3))


def test_folder_crops_the_center_and_resizes_with_antialiasing(tmp_path):
    # Left and right borders are red, the central square a fine black and white chessboard, whose
    # antialiased reduction is gray; nearest-neighbor sampling would give black or white.
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


def test_a_cache_stands_for_the_folder_and_its_options(album, tmp_path_factory):
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


def test_folders_that_cannot_be_decoded_are_refused(tmp_path, album):
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
