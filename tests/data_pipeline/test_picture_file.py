"""Files of several frames, and files that are no pictures: one line with the file's name."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.registry import UsageError, UsageWarning


def load(root):
    return data.get("folder", path=str(root)).splits["train"].images


@pytest.mark.parametrize("ending", ["gif", "tif", "png", "webp", "avif", "mpo"])
def test_of_several_frames_the_first_is_read_and_it_is_said(tmp_path, ending):
    frames = [Image.new("RGB", (8, 8), (0, level, 0)) for level in (0, 255, 128)]
    options = {"save_all": True, "append_images": frames[1:]}
    for name in ("b", "a"):
        frames[0].save(tmp_path / f"{name}.{ending}", **options)
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png")
    with pytest.warns(UsageWarning, match=f"first frame was read of 2 with .*a.{ending}") as said:
        images = load(tmp_path)
    assert len(said) == 1 and "\n" not in str(said[0].message)
    assert images.shape == (3, 8, 8, 3) and images.max() < 8


def test_a_picture_of_one_frame_is_read_without_a_word(tmp_path):
    for ending in ("gif", "tif", "png", "webp"):
        Image.new("RGB", (2, 2)).save(tmp_path / f"a.{ending}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load(tmp_path)) == 4


def of_size(width, height):
    """The start of a PNG file whose header says that it has this size."""
    body = b"IHDR" + struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)
    header = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + header + b"\0\0\0\1IDAT"


CUT = ["png", "jpg", "gif", "webp", "bmp", "tif", "ppm", "jp2", "tga", "avif"]


def picture(ending, tmp_path, part):
    """The first part of a sound file."""
    file = tmp_path.parent / f"sound.{ending}"
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    content = file.read_bytes()
    return content[: int(part * len(content))]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("empty.png", b"", "it is empty"),
        ("no_pixels.png", of_size(0, 4), "damaged, or of no format"),
        ("text.jpg", b"<html>", "damaged, or of no format"),
        (
            "huge.png",
            of_size(20_000, 20_000),
            r"more than [\d,]+ pixels, Pillow's limit.*MAX",
        ),
        ("large.png", of_size(10_000, 10_000), "Truncated|truncated"),
        ("vast.ppm", b"P6 99999999 99999999 255\n", "pixels, Pillow's limit"),
        ("odd.png", of_size(4, 4), "cannot be read"),
        ("odd.gif", b"GIF89a" + b"\xff" * 20, "cannot be read"),
        ("odd.tif", b"II*\0\x08\0\0\0\xff\xff", "cannot be read"),
        ("odd.dds", b"DDS |\0\0\0", "cannot be read"),
        ("odd.jp2", b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\1", "cannot be read"),
        ("odd.psd", b"8BPS\0\1", "cannot be read"),
    ],
)
def test_a_file_that_is_no_picture_is_one_line_with_its_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UsageError, match=message) as error:
            load(tmp_path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{str(tmp_path / name)!r} cannot be read as an image (")


@pytest.mark.parametrize("ending", CUT)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_a_file_that_was_cut_short_is_refused(tmp_path, ending, part):
    (tmp_path / f"cut.{ending}").write_bytes(picture(ending, tmp_path, part))
    with pytest.raises(UsageError, match=f"cut.{ending}' cannot be read as an image") as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


def test_a_large_picture_below_the_limit_is_read_without_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(tmp_path).shape == (2, 4, 4, 3)
