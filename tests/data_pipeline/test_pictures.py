"""Grids and animations on disk."""

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.registry import UsageError


def test_a_grid_has_enlarged_images_and_gray_gaps(tmp_path):
    images = data.get("digits").splits["train"].images[:5]
    path = tmp_path / "new/folder/grid.png"
    data.save_grid(path, images, columns=3, bins=17)
    with Image.open(path) as picture:
        assert picture.mode == "L"
        pixels = np.asarray(picture)
    # Two rows of three, 8 pixels enlarged 8 times, gaps of two.
    assert pixels.shape == (2 * 66 + 2, 3 * 66 + 2)
    want = Image.fromarray(np.round(images[3, ..., 0] / 16 * 255).astype(np.uint8))
    enlarged = want.resize((64, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(pixels[68:132, 2:66], np.asarray(enlarged))
    assert set(np.unique(pixels[:2])) == {128}
    assert [p.name for p in path.parent.iterdir()] == ["grid.png"]


def test_a_grid_keeps_all_levels_and_colors(tmp_path):
    images = data.get("emoji32").splits["train"].images[:4]
    data.save_grid(tmp_path / "grid.png", images, scale=1)
    with Image.open(tmp_path / "grid.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (70, 70, 3)
    np.testing.assert_array_equal(pixels[36:68, 36:68], images[3])
    assert data.image_grid(images).shape == (134, 134, 3)  # shown with 64 pixels each


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_channels_that_are_no_colors_stand_side_by_side(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 70, 80, channels), np.uint8)
    grid = data.image_grid(images, columns=1)
    assert grid.shape == (3 * 72 + 2, channels * 80 + 4, 1)
    for i in range(3):
        for c in range(channels):
            panel = grid[2 + 72 * i : 72 + 72 * i, 2 + 80 * c : 82 + 80 * c, 0]
            np.testing.assert_array_equal(panel, images[i, ..., c])
    height, width, _ = data.image_grid(np.zeros((16, 8, 8, channels), np.uint8)).shape
    assert 0.5 < height / width < 2  # about as square as that of gray images


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_has_its_frames_in_order(tmp_path, suffix):
    frames = np.zeros((3, 2, 8, 8, 1), np.uint8)
    frames[1], frames[2] = 8, 16
    path = tmp_path / f"movie{suffix}"
    data.save_animation(path, frames, bins=17, milliseconds=120)
    with Image.open(path) as movie:
        assert movie.n_frames == 3 and movie.info["loop"] == 0
        for i, want in enumerate((0, 128, 255)):
            movie.seek(i)
            assert movie.convert("L").getpixel((30, 30)) == want
            assert movie.info["duration"] == 120


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "grid.png"
    data.save_grid(path, np.zeros((1, 8, 8, 1), np.uint8))
    before = path.read_bytes()

    def fail(self, file, **options):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        data.save_grid(path, np.ones((1, 8, 8, 1), np.uint8))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(("channels", "shape"), [(1, (3, 5)), (3, (3, 5, 3)), (2, (3, 10))])
def test_a_picture_has_the_pixels_of_its_image_in_all_of_the_range(channels, shape, tmp_path):
    image = ((np.arange(15 * channels) + 2) % 17).reshape(3, 5, channels).astype(np.uint8)
    data.save_picture(tmp_path / "new/a.png", image, bins=17)
    with Image.open(tmp_path / "new/a.png") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == shape and pixels.max() == 255
    drawn = pixels[:, 5:] if channels == 2 else pixels.reshape(3, 5, -1)[..., -1]
    np.testing.assert_array_equal(np.round(drawn * (16 / 255)), image[..., -1])


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((1, 8, 8, 1), np.float32), {}, "needs uint8 images .*, not float32 .* decode"),
        (np.zeros((8, 8, 1), np.uint8), {}, r"not uint8 \[8, 8, 1\]"),
        (np.zeros((0, 8, 8, 1), np.uint8), {}, "at least one image"),
        (np.full((1, 8, 8, 1), 17, np.uint8), {"bins": 17}, "levels 17 .. 17, but 17 bins"),
        (np.zeros((1, 8, 8, 1), np.uint8), {"columns": 0}, "at least 1"),
    ],
)
def test_what_is_no_grid_is_refused_before_a_file_is_there(tmp_path, images, options, message):
    with pytest.raises(UsageError, match=message) as error:
        data.save_grid(tmp_path / "grid.png", images, **options)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_file_of_no_picture_format_is_refused(tmp_path):
    images = np.zeros((1, 8, 8, 1), np.uint8)
    with pytest.raises(UsageError, match="no suffix of an image format"):
        data.save_grid(tmp_path / "grid.npz", images)
    with pytest.raises(UsageError, match=r"\.gif, \.webp or \.png"):
        data.save_animation(tmp_path / "movie.mp4", [images])
    with pytest.raises(UsageError, match="at least one frame"):
        data.save_animation(tmp_path / "movie.gif", [])
