"""Zip files of pictures with labels, as EDM's dataset tool writes them."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.registry import UsageError, UsageWarning

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), np.uint8)
NAMES = [f"0000{i // 3}/img0000000{i}.png" for i in range(4)]
LABELS = [2, 0, 1, 2]


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="png")
    return file.getvalue()


def pack(path, pictures=None, labels=LABELS, note=None):
    """An archive whose members are in no order."""
    pictures = dict(zip(NAMES, map(png, PIXELS))) if pictures is None else pictures
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in reversed(pictures.items()):
            archive.writestr(name, content)
        if note is None and labels is not None:
            note = json.dumps({"labels": [list(pair) for pair in zip(NAMES, labels)][::-1]})
        if note is not None:
            archive.writestr("dataset.json", note)
    return str(path)


def test_pictures_and_labels_go_together_whatever_their_order(tmp_path):
    source = data.get("zip", path=pack(tmp_path / "mine.zip"))
    split = source.splits["train"]
    np.testing.assert_array_equal(split.images, PIXELS)
    assert split.labels.tolist() == LABELS and source.label_names == ("0", "1", "2")
    assert source.name == "mine" and source.bins == 256


def test_a_folder_of_the_same_is_read_alike_and_not_as_classes(tmp_path):
    with zipfile.ZipFile(pack(tmp_path / "mine.zip")) as archive:
        archive.extractall(tmp_path / "mine")
    split = data.get("zip", path=str(tmp_path / "mine")).splits["train"]
    np.testing.assert_array_equal(split.images, PIXELS)
    assert split.labels.tolist() == LABELS
    with pytest.raises(UsageError, match=r"holds dataset\.json.*take the source 'zip'"):
        data.get("folder", path=str(tmp_path / "mine"))
    with pytest.warns(UsageWarning, match=r"1 of no picture format .*dataset\.json"):
        as_classes = data.get("folder", path=str(tmp_path / "mine"), layout="classes")
    assert as_classes.label_names == ("00000", "00001")


@pytest.mark.parametrize("note", [None, '{"labels": null}'])
def test_without_labels_there_are_no_classes(tmp_path, note):
    path = pack(tmp_path / "mine.zip", labels=None, note=note)
    source = data.get("zip", path=path, cache=str(tmp_path / "cache"))
    assert source.label_names == () and source.splits["train"].labels.tolist() == [0] * 4


def test_test_images_options_and_a_cache(tmp_path):
    options = {
        "path": pack(tmp_path / "a.zip"),
        "test_path": pack(tmp_path / "b.zip", labels=[3, 0, 0, 0]),
        **{"image_size": 2, "crop": 4, "channels": 1, "cache": str(tmp_path / "cache")},
    }
    source = data.get("zip", **options)
    assert source.label_names == ("0", "1", "2", "3")
    assert source.splits["test"].labels.tolist() == [3, 0, 0, 0]
    assert source.image_shape == (2, 2, 1)
    want = Image.fromarray(PIXELS[1]).convert("L").crop((1, 1, 5, 5)).resize((2, 2), 3)
    np.testing.assert_array_equal(source.splits["train"].images[1, ..., 0], np.asarray(want))


@pytest.mark.parametrize(
    "note, message",
    [
        ("nonsense", r"dataset\.json of .* is not"),
        ('{"classes": []}', "KeyError"),
        ('{"labels": [3]}', "TypeError"),
        (json.dumps({"labels": [[NAMES[0], 1]]}), f"no label of '{NAMES[1]}' and 2 more"),
        (json.dumps({"labels": [[name, [0.5, 1]] for name in NAMES]}), "vectors are not read"),
        (json.dumps({"labels": [[name, -1] for name in NAMES]}), "integers from 0 on"),
        (json.dumps({"labels": [[name, 10**8] for name in NAMES]}), "a label 100000000, and no"),
    ],
)
def test_labels_of_another_form_are_refused(tmp_path, note, message):
    with pytest.raises(UsageError, match=message):
        data.get("zip", path=pack(tmp_path / "mine.zip", note=note))


def test_what_is_no_archive_of_pictures_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no zip file"):
        data.get("zip", path=str(tmp_path / "none.zip"))
    (tmp_path / "no.zip").write_bytes(b"no")
    with pytest.raises(UsageError, match="is no zip file, or a damaged one"):
        data.get("zip", path=str(tmp_path / "no.zip"))
    with pytest.raises(UsageError, match="holds no pictures, but arrays"):
        data.get("zip", path=pack(tmp_path / "a.zip", {"img0.npy": b""}, None))
    with pytest.raises(UsageError, match=r"00/a\.png' cannot be read as an image"):
        data.get("zip", path=pack(tmp_path / "b.zip", {"00/a.png": png(PIXELS[0])[:60]}, None))
    broken = pack(tmp_path / "c.zip", labels=None)
    content = bytearray((tmp_path / "c.zip").read_bytes())
    content[content.index(b"IDAT") + 6] ^= 255  # which the archive's checksum knows
    (tmp_path / "c.zip").write_bytes(bytes(content))
    with pytest.raises(UsageError, match=r"png' cannot be read \(Bad CRC"):
        data.get("zip", path=broken)
    labeled, bare = pack(tmp_path / "d.zip"), pack(tmp_path / "e.zip", labels=None)
    with pytest.raises(UsageError, match="one has labels and the other none"):
        data.get("zip", path=labeled, test_path=bare)
