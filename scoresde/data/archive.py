"""Zip files of pictures with their labels beside them, as EDM's and StyleGAN's dataset tools write.

    00000/img00000000.png, ...     the pictures, in any folders, which are no classes
    dataset.json                   {"labels": [["00000/img00000000.png", 3], ...]}, or null

A folder that holds the same is read, too. What is hidden or of no picture format is left alone.
"""

import json
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from scoresde.data import picture_file
from scoresde.data.cache import cached, stack
from scoresde.data.decode import check_sizes
from scoresde.data.source import Source, numbered
from scoresde.data.split import Split
from scoresde.data.walk import NotRead, is_hidden, picture_suffixes, pictures
from scoresde.registry import UsageError

LABELS = "dataset.json"
"""Where the labels are, at the root."""

# What reading a damaged or encrypted archive raises.
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError)


def archive(
    path: str,
    *,
    test_path: str | None = None,
    image_size: int | None = None,
    crop: int | None = None,
    channels: int = 3,
    cache: str | None = None,
) -> Source:
    """Images of a zip file, or of a folder, laid out as this module describes; 256 levels.

    Args:
        path: the file with the training images.
        test_path: one with test images, if there is one.
        image_size: side in pixels to which the largest central square of each image is resized,
            with antialiasing; None if all images have one size.
        crop: side in pixels of a central square to cut out first; None for none.
        channels: 3 for RGB, 1 for gray.
        cache: a directory in which to keep the decoded images, memory-mapped from then on.

    Raises:
        UsageError: no such file, one that is damaged or holds no pictures, pictures of different
            sizes, or labels that are no classes or not of all pictures.
    """
    check_sizes(image_size, crop, channels)
    paths = {"train": path} | ({} if test_path is None else {"test": test_path})
    paths = {key: os.path.abspath(os.path.expanduser(file)) for key, file in paths.items()}
    for file in paths.values():
        if not os.path.exists(file):
            raise UsageError(f"There is no zip file {file!r}.")
    options = {"zip": paths, "image_size": image_size, "crop": crop, "channels": channels}
    decoding = image_size, crop, channels

    def decode(work: pathlib.Path | None) -> Source:
        packs = {key: _Pack(file) for key, file in paths.items()}
        labels = {key: pack.labels() for key, pack in packs.items()}
        if len({found is None for found in labels.values()}) > 1:
            raise UsageError(
                f"Of {paths['train']!r} and {paths['test']!r} one has labels and the other none."
            )
        names = numbered(max((int(f.max()) for f in labels.values() if f is not None), default=-1))
        splits = {}
        for key, pack in packs.items():
            images = stack(
                len(pack.names),
                lambda i, pack=pack: pack.pixels(i, decoding),
                name=lambda i, pack=pack: pack.called(i),
                file=work and work / f"{key}_image.npy",
                workers=min(16, os.cpu_count() or 1),
            )
            splits[key] = Split(images, labels[key])
        return Source(
            name=pathlib.Path(path).stem,
            splits=splits,
            label_names=names,
            attribution=f"images in {path}",
        )

    return cached(cache, options, decode)


class _Pack:
    """The pictures of a zip file or a folder, by name in order."""

    def __init__(self, path: str):
        self.path = path
        self._read, found = _opened(path)
        suffixes = picture_suffixes()
        self.names = sorted(
            name
            for name in found
            if pathlib.PurePosixPath(name).suffix.lower() in suffixes
            and not any(is_hidden(part) for part in name.split("/"))
        )
        self._has_labels = LABELS in found
        if not self.names:
            arrays = any(name.endswith(".npy") for name in found)
            raise UsageError(
                f"{path!r} holds no pictures"
                + (", but arrays (.npy), which are not read of it." if arrays else ".")
            )

    def called(self, i: int) -> str:
        """Picture number i, for messages."""
        return repr(f"{self.path}/{self.names[i]}")

    def pixels(self, i: int, decoding: tuple) -> np.ndarray:
        """Picture number i, decoded."""
        content = self.content(self.names[i])
        where = pathlib.Path(self.path) / self.names[i]
        return picture_file.read(where, *decoding, content=content)[0]

    def content(self, name: str) -> bytes:
        """The bytes of a member."""
        try:
            return self._read(name)
        except _DAMAGED as error:
            raise UsageError(f"{self.path!r}: {name!r} cannot be read ({error}).") from error

    def labels(self) -> np.ndarray | None:
        """The class of each picture, [n]; None where there are none.

        Raises:
            UsageError: labels of another form, or not of all pictures.
        """
        if not self._has_labels:
            return None
        where = f"{LABELS} of {self.path!r}"
        try:
            listed = json.loads(self.content(LABELS))["labels"]
            listed = None if listed is None else {name: label for name, label in listed}
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(
                f'{where} is not {{"labels": [[name, class], ...]}} or null '
                f"({type(error).__name__}: {error})."
            ) from error
        if listed is None:
            return None
        if missing := [name for name in self.names if name not in listed]:
            raise UsageError(
                f"{where} has no label of {missing[0]!r}"
                + (f" and {len(missing) - 1} more." if len(missing) > 1 else ".")
            )
        labels = [listed[name] for name in self.names]
        for name, label in zip(self.names, labels):
            if type(label) is not int or label < 0:
                raise UsageError(
                    f"{where}: the label of {name!r} is {json.dumps(label)[:40]}; classes are "
                    "integers from 0 on, and labels that are vectors are not read."
                )
        return np.asarray(labels)


def _opened(path: str) -> tuple[Callable[[str], bytes], set[str]]:
    """A function that reads a member, and the names of all."""
    if os.path.isdir(path):
        root = pathlib.Path(path)
        found = {picture.as_posix() for picture in pictures(root, NotRead())}
        found |= {LABELS} if (root / LABELS).is_file() else set()
        return lambda name: (root / name).read_bytes(), found
    try:
        opened = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise UsageError(f"{path!r} is no zip file, or a damaged one ({error}).") from error
    return opened.read, set(opened.namelist())
