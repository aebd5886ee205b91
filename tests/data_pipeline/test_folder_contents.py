"""What lies below a folder of pictures: what is read, what is not and why, and who says so."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.cli import main
from scoresde.registry import UsageError, UsageWarning


def write(root, *names, color=0):
    """Pictures of 4x4 pixels whose red is `color`, `color` + 1, ... in this order."""
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (color + number, 0, 0)).save(root / name)


def reds(split):
    return split.images[:, 0, 0, 0].tolist()


def load(root, **options):
    """The source, which must have been read in full."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data.get("folder", path=str(root), **options)


HIDDEN = (".ipynb_checkpoints", ".thumbnails", "__MACOSX", "@eaDir", "$RECYCLE.BIN", "#recycle")


@pytest.mark.parametrize("place", ["{}", "{}/cat", "cat/{}", "cat/{}/deep", "dog/deeper/{}"])
@pytest.mark.parametrize("name", HIDDEN)
def test_a_hidden_folder_is_neither_a_class_nor_images(tmp_path, place, name):
    write(tmp_path, "cat/1.png", "dog/1.png")
    write(tmp_path, f"{place.format(name)}/1.png", f"{place.format(name)}/2.png", color=9)
    with pytest.warns(UsageWarning, match=r"2 hidden \(") as said:
        source = data.get("folder", path=str(tmp_path))
    assert len(said) == 1 and name in str(said[0].message)
    assert source.label_names == ("cat", "dog") and reds(source.splits["train"]) == [0, 1]


def test_links_to_classes_and_to_images_are_followed(tmp_path):
    root, pool = tmp_path / "root", tmp_path / "pool"
    write(root, "cat/1.png", color=1)
    write(pool, "dogs/1.png", "dogs/2.png", "other.png", color=5)
    (root / "dog").symlink_to(pool / "dogs", target_is_directory=True)
    (root / "cat/2.png").symlink_to(pool / "other.png")
    source = load(root)
    assert source.label_names == ("cat", "dog")
    assert reds(source.splits["train"]) == [1, 7, 5, 6]
    assert source.splits["train"].labels.tolist() == [0, 0, 1, 1]
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    assert load(tmp_path / "link").label_names == ("cat", "dog")


def test_links_that_lead_back_end(tmp_path):
    write(tmp_path, "cat/1.png", "dog/1.png")
    (tmp_path / "cat/up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dog/self").symlink_to(tmp_path / "dog", target_is_directory=True)
    with pytest.warns(UsageWarning, match=r"2 linked to a folder around it \(cat/up, dog/self\)"):
        source = data.get("folder", path=str(tmp_path))
    assert reds(source.splits["train"]) == [0, 1]


def test_all_that_is_not_read_is_counted_in_one_line(tmp_path):
    write(tmp_path, "cat/1.png", "cat/.2.png")
    (tmp_path / "cat/3.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "cat/4.png").symlink_to(tmp_path / "cat/4.png")  # a link to itself
    os.mkfifo(tmp_path / "cat/5.png")
    for number in range(5):
        (tmp_path / f"cat/{number}.txt").touch()
    (tmp_path / "dog").mkdir()
    with pytest.warns(UsageWarning) as said:
        data.get("folder", path=str(tmp_path))
    (line,) = [str(warning.message) for warning in said]
    assert "\n" not in line and f"Not read in {str(tmp_path)!r}: " in line
    for reason in (
        "1 hidden (cat/.2.png)",
        "2 linked to nothing (cat/3.png, cat/4.png)",
        "1 no plain files (cat/5.png)",
        "5 of no picture format by the ending (cat/0.txt, cat/1.txt, cat/2.txt, ...)",
        "1 without a picture (dog/)",
    ):
        assert reason in line


def test_a_folder_without_pictures_says_what_it_has(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UsageError, match=r"no images, but 1 linked to nothing \(a\.png\), 1 of no"):
        data.get("folder", path=str(tmp_path))


ENDINGS = (
    "jpg jpeg jpe jfif JPG png apng webp bmp dib gif tif tiff ppm pnm jp2 j2k tga pcx qoi avif"
)


def test_pictures_of_every_ending_that_pillow_reads_are_read(tmp_path):
    for number, ending in enumerate(ENDINGS.split()):
        write(tmp_path, f"{number:02}.{ending}", color=8 * number)
    found = reds(load(tmp_path).splits["train"])
    np.testing.assert_allclose(found, 8 * np.arange(len(found)), atol=12)  # some are lossy
    assert len(found) == len(ENDINGS.split())


def test_the_command_line_says_it_in_one_line(tmp_path, capsys, monkeypatch):
    write(tmp_path / "pictures", "1.png", "2.png")
    (tmp_path / "pictures/notes.txt").touch()
    (tmp_path / "mine.py").write_text(
        "from scoresde import data\n"
        "def add_arguments(parser): pass\n"
        f"def run(*_): data.get('folder', path={str(tmp_path / 'pictures')!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back afterward
    import mine

    monkeypatch.setattr("scoresde.cli.list.run", mine.run)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = _show
        assert main(["list"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("scoresde: warning: Not read in ")


def _show(message, category, filename, lineno, file=None, line=None):
    """What Python does where no test records warnings."""
    import sys

    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))
