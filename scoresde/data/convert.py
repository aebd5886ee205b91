"""Any data set, converted once into the arrays that training maps into memory.

The result is a directory of the layout of `scoresde.data.arrays`: it opens at once, may be larger
than memory and is shared by the processes of a host. It is whole or not there: everything is
written beside its place, in a hidden folder `.NAME.*`, and moved there at the end. A conversion
that was stopped is begun anew.
"""

import inspect
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde.data.archive import LABELS
from scoresde.data.cache import cached, stack
from scoresde.data.decode import check_sizes, fit
from scoresde.data.mapped import new_map, rows_of
from scoresde.data.source import Source
from scoresde.data.split import Split
from scoresde.registry import UsageError, closest, lookup, make

_ROWS = 4096  # that are copied at a time
_DEFAULT_CHANNELS = 3


def recognized(what: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The data source that a word stands for, as a section of config.data.source.

    Args:
        what: a folder of pictures, or of arrays; an .npz, .tfrecords or .zip file; "tfds:NAME" of
            tensorflow-datasets; the name of a source that needs no options; `package.module:Name`.
        known: the names of sources.

    Raises:
        UsageError: it is none of these.
    """
    path = pathlib.Path(what).expanduser()
    if path.is_dir():
        if (path / LABELS).is_file():
            return {"name": "zip", "path": what}
        of_arrays = (path / "source.json").is_file() or any(path.glob("*_image.npy"))
        return {"name": "arrays" if of_arrays else "folder", "path": what}
    if path.is_file():
        if path.suffix.lower() == ".zip":
            return {"name": "zip", "path": what}
        if path.suffix.lower() == ".npz":
            return {"name": "arrays", "path": what}
        if "tfrecord" in path.name.lower():
            return {"name": "tfrecords", "path": what}
        raise UsageError(
            f"{what!r} is no file that images are read of: .zip, .npz or .tfrecords, or a folder."
        )
    if what.startswith("tfds:"):
        return {"name": "tfds", "dataset": what.removeprefix("tfds:")}
    if what in known or ":" in what:
        return {"name": what}
    raise UsageError(
        f"There is no file, folder or data source {what!r}.{closest(what, list(known))} Data sets "
        "of tensorflow-datasets are called tfds:NAME."
    )


def convert(
    source: str,
    out: str | os.PathLike,
    known: Mapping[str, Any],
    *,
    test: str | None = None,
    test_fraction: float | None = None,
    image_size: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    data_dir: str | None = None,
) -> Source:
    """Converts a data set into a directory, and reads it from there.

    Args:
        source: see `recognized`.
        out: the directory; it must not be there, or be empty.
        known: the sources by name, `scoresde.data.SOURCES`.
        test: where the test images are, if elsewhere: its split "test", or the only one it has.
        test_fraction: the share of the training images, drawn at random, that become the test
            images; the same at every time.
        image_size: side in pixels to which the largest central square of each image is resized,
            with antialiasing (Pillow's bicubic); None if all images have one size.
        crop: side in pixels of a central square to cut out first; None for none.
        channels: 3 for RGB, 1 for gray; None for RGB where pictures are decoded, and else as they
            are.
        data_dir: of tensorflow-datasets.

    Raises:
        UsageError: there is something at `out`, options that do not go together, test images where
            there are some already or with other classes; or what the sources raise.
    """
    check_sizes(image_size, crop, _DEFAULT_CHANNELS if channels is None else channels)
    if test is not None and test_fraction is not None:
        raise UsageError("The test images come from one place: give --test or --test_fraction.")
    if test_fraction is not None and not 0 < test_fraction < 1:
        raise UsageError(f"--test_fraction is between 0 and 1, not {test_fraction}.")
    out = pathlib.Path(out).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{str(out)!r} is there already, and nothing is overwritten: give a new one."
        )
    given = {"image_size": image_size, "crop": crop, "channels": channels, "data_dir": data_dir}
    given = {name: value for name, value in given.items() if value is not None}
    sections = {"train": recognized(source, known)}
    if test is not None:
        sections["test"] = recognized(test, known)

    def decode(work: pathlib.Path) -> Source:
        parts = {
            key: _read(section, known, given, work / f"of_{key}")
            for key, section in sections.items()
        }
        made = _joined(source, parts["train"], test, parts.get("test"))
        if test_fraction is not None:
            made = _held_out(source, made, test_fraction, work)
        return made

    options = {**sections, **given, "test_fraction": test_fraction}
    return cached(str(out), options, decode)


def _read(section, known, given, work):
    """A source in a directory of its own, with the options it takes; what is left is done here."""
    takes = inspect.signature(lookup("data source", known, section["name"])).parameters
    options = {name: value for name, value in given.items() if name in takes}
    if "cache" in takes:
        options["cache"] = str(work)
    source = make("data source", known, **section, **options)
    left = {name: value for name, value in given.items() if name not in takes}
    if left.pop("data_dir", None) is not None:
        raise UsageError(f"The source {section['name']!r} has no --data_dir: leave it out.")
    return _fitted(source, work, **left) if left else source


def _fitted(source, work, image_size=None, crop=None, channels=None):
    """Images that are arrays already, cropped and resized."""
    from PIL import Image

    now = source.image_shape[-1]
    if source.bins != 256 or now not in (1, 3):
        raise UsageError(
            f"The images of {source.name!r} are {source.image_shape} of {source.bins} levels: "
            "those of 256 levels, gray or RGB, can be resized."
        )
    work = work.with_name(f"{work.name}_fitted")
    work.mkdir()  # of a source that is in a directory, too
    splits = {}
    for key, split in source.splits.items():

        def load(i, split=split):
            image = rows_of(split.images, slice(i, i + 1))[0]
            picture = Image.fromarray(image[..., 0] if now == 1 else image)
            return fit(picture, image_size, crop, channels or now)

        images = stack(
            len(split), load, name=lambda i: f"image {i}", file=work / f"{key}_image.npy"
        )
        splits[key] = Split(images, split.labels, split.named)
    return _changed(source, splits)


def _changed(source, splits):
    return Source(
        name=source.name,
        splits=splits,
        bins=source.bins,
        label_names=source.label_names,
        attribution=source.attribution,
    )


def _joined(name, first, test_name, second):
    """The source `first` with the test images of `second`, if there is one."""
    if second is None:
        return first
    if "test" in first.splits:
        raise UsageError(f"{name!r} has test images of its own: leave out --test.")
    if "test" not in second.splits and len(second.splits) > 1:
        raise UsageError(f"{test_name!r} has the splits {', '.join(second.splits)}, and no test.")
    split = second.splits["test" if "test" in second.splits else next(iter(second.splits))]
    if first.bins != second.bins:
        raise UsageError(f"{name!r} has {first.bins} levels and {test_name!r} {second.bins}.")
    numbers = {label: number for number, label in enumerate(first.label_names)}
    if bool(numbers) != bool(second.label_names):
        raise UsageError(f"Of {name!r} and {test_name!r} one has labels and the other none.")
    if unknown := [label for label in second.label_names if label not in numbers]:
        raise UsageError(f"{test_name!r} has a class {unknown[0]!r}, which {name!r} has not.")
    labels = split.labels
    if numbers:
        labels = np.array([numbers[label] for label in second.label_names])[labels]
    return _changed(first, {**first.splits, "test": Split(split.images, labels, split.named)})


def _held_out(name, source, fraction, work):
    """A share of the training images as the test images."""
    if "test" in source.splits or "train" not in source.splits:
        raise UsageError(f"{name!r} has test images of its own: leave out --test_fraction.")
    split = source.splits["train"]
    held = round(fraction * len(split))
    if not 0 < held < len(split):
        raise UsageError(f"--test_fraction={fraction} of {len(split)} images is none, or all.")
    order = np.random.default_rng(0).permutation(len(split))
    parts = {"train": np.sort(order[held:]), "test": np.sort(order[:held])}
    splits = {}
    for key, rows in parts.items():
        place = work / f"{key}_image.npy"  # those of the source are elsewhere
        images = new_map(place, (len(rows), *split.image_shape), split.images.dtype)
        for start in range(0, len(rows), _ROWS):
            images[start : start + _ROWS] = rows_of(split.images, rows[start : start + _ROWS])
        images.flush()
        further = {name: array[rows] for name, array in split.named.items()}
        splits[key] = Split(images, split.labels[rows], further)
    return _changed(source, {**source.splits, **splits})
