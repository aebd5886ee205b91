"""Images from anywhere: the same ones, whatever holds them, a few at a time."""

import pathlib
import zipfile

import numpy as np
import pytest
from PIL import Image

from scoresde.quality import open_images
from scoresde.registry import UsageError, UsageWarning

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), np.uint8)


def save_pictures(folder):
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number:02d}.png")
    return folder


def folder(tmp_path):
    return save_pictures(tmp_path / "pictures")


def nested(tmp_path):
    """As class folders are, with what does not belong there."""
    root = tmp_path / "nested"
    root.mkdir()
    save_pictures(root / "0")
    (root / ".DS_Store").write_bytes(b"x")
    (root / "notes.txt").write_text("x")
    return root


def zipped(tmp_path):
    """As EDM packs data sets."""
    path = tmp_path / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(save_pictures(tmp_path / "to_zip").iterdir()):
            archive.write(file, f"00000/{file.name}")
        archive.writestr("dataset.json", '{"labels": null}')
        archive.writestr("__MACOSX/._0.png", b"x")
    return path


def npz(tmp_path, name="arr_0", **more):
    path = tmp_path / f"{name}.npz"
    np.savez_compressed(path, **{name: IMAGES}, **more)
    return path


def npy(tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, IMAGES)
    return path


MADE = {
    "folder": folder,
    "nested": nested,
    "zip": zipped,
    "arr_0": npz,
    "samples": lambda path: npz(path, "samples", nfe=np.zeros(7)),
    "the only array": lambda path: npz(path, "whatever"),
    "npy": npy,
}


@pytest.mark.parametrize("kind", MADE)
def test_the_images_are_read_a_few_at_a_time(kind, tmp_path):
    images = open_images(MADE[kind](tmp_path))
    assert images.num == 7 and images.bins == 256
    batches = [images.read(np.arange(start, min(start + 3, 7))) for start in (0, 3, 6)]
    np.testing.assert_array_equal(np.concatenate(batches), IMAGES)
    # The last batch is filled up with the last image, and what was read is read again.
    np.testing.assert_array_equal(images.read(np.array([5, 6, 6])), IMAGES[[5, 6, 6]])
    np.testing.assert_array_equal(images.read(np.array([1])), IMAGES[[1]])


def test_the_levels_are_what_the_file_or_the_user_says(tmp_path):
    path = npz(tmp_path, "samples", bins=17)
    assert open_images(path).bins == 17
    assert open_images(path, 32).bins == 32


def test_images_of_zeros_and_ones_are_warned_of(tmp_path):
    np.savez(tmp_path / "dark.npz", arr_0=(IMAGES / 255).astype(np.uint8))
    with pytest.warns(UsageWarning, match="nothing but 0 and 1"):
        open_images(tmp_path / "dark.npz")
    np.savez(tmp_path / "two.npz", samples=IMAGES % 2, bins=2)
    open_images(tmp_path / "two.npz")  # which has two levels


def _write(path, content):
    path.write_bytes(content)
    return path


def floats(tmp_path):
    path = tmp_path / "floats.npy"
    np.save(path, IMAGES / 255)
    return path


def first(tmp_path):
    path = tmp_path / "first.npy"
    np.save(path, np.zeros((2, 3, 16, 16), np.uint8))
    return path


def mixed(tmp_path):
    root = save_pictures(tmp_path / "mixed")
    Image.fromarray(IMAGES[0][:4]).save(root / "99.png")
    return root


def corrupt(tmp_path):
    root = save_pictures(tmp_path / "corrupt")
    (root / "03.png").write_bytes((root / "03.png").read_bytes()[:60])
    return root


def corrupt_in_zip(tmp_path):
    path = tmp_path / "corrupt.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"no picture")
    return path


def cut_off(tmp_path):
    path = npz(tmp_path)
    return _write(path, path.read_bytes()[:200])


def changed(path, at):
    """The file, with other bytes somewhere within its data."""
    content = bytearray(path.read_bytes())
    content[at : at + 8] = bytes(255 - byte for byte in content[at : at + 8])
    return _write(path, bytes(content))


def changed_npz(tmp_path):
    path = tmp_path / "changed.npz"
    np.savez(path, samples=IMAGES)
    return changed(path, 300)


def changed_compressed(tmp_path):
    return changed(npz(tmp_path), 300)


def changed_zip(tmp_path):
    root = save_pictures(tmp_path / "pictures")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(root / "03.png", "03.png")
    return changed(tmp_path / "z.zip", 45)


def several(tmp_path):
    path = tmp_path / "several.npz"
    np.savez(path, a=IMAGES, b=IMAGES)
    return path


BAD = {
    "floats": (floats, "float64, and images are uint8"),
    "channels first": (first, "transpose"),
    "of several sizes": (mixed, "99.png' is 4x4, but others are 5x4"),
    "damaged": (corrupt, "03.png' cannot be read as an image"),
    "damaged in a zip": (corrupt_in_zip, "a.png' cannot be read as an image"),
    "cut off": (cut_off, "cannot be read"),
    "changed": (changed_npz, "npz' cannot be read"),
    "changed and compressed": (changed_compressed, "npz' cannot be read"),
    "changed zip": (changed_zip, "z.zip' is damaged"),
    "several arrays": (several, "call the array of images one of samples"),
    "empty folder": (lambda path: path, "holds no pictures"),
    "missing": (lambda path: path / "none", "There is no file or folder"),
    "of another kind": (lambda path: _write(path / "a.txt", b"a"), "none of the files"),
    "no archive": (lambda path: _write(path / "a.zip", b"a"), "cannot be read"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_set_of_images_is_one_line(kind, tmp_path):
    make, message = BAD[kind]
    path = pathlib.Path(make(tmp_path))
    with pytest.raises(UsageError) as error:
        images = open_images(path)
        images.read(np.arange(images.num))
    assert message in str(error.value) and "\n" not in str(error.value)
