"""A directory of image files.

    <path>/train/...      images, or one folder of images for each class
    <path>/test/...       the same, optional
    <path>/val/...        the same, optional; the test images if there is no folder of them

A directory with none of them is taken as the training split itself. (`training`, `testing`, `valid`
and `validation` are further names of these.) Images are searched for in all folders below, links
included, and ordered by path. A class is a folder directly below the split; the classes are
numbered in alphabetical order over all splits. Images that are not in a class folder have no label.

What is hidden (`.ipynb_checkpoints`, `__MACOSX`, `@eaDir`, ...) is neither an image nor a class.
All that lies below and is not read is counted in one line of warning.
"""

import os
import pathlib
import warnings

import numpy as np

from scoresde.data import picture_file
from scoresde.data.cache import cached, stack
from scoresde.data.decode import check_sizes
from scoresde.data.folder_layout import check_layout, divide
from scoresde.data.source import Source
from scoresde.data.split import Split
from scoresde.data.walk import NotRead, pictures
from scoresde.registry import UsageError, UsageWarning


def folder(
    path: str,
    *,
    image_size: int | None = None,
    crop: int | None = None,
    channels: int = 3,
    layout: str = "auto",
    cache: str | None = None,
) -> Source:
    """Images from a directory, laid out as this module describes; 256 levels.

    Args:
        path: the directory.
        image_size: side in pixels to which the largest central square of each image is resized,
            with antialiasing; None if all images have one size.
        crop: side in pixels of a central square to cut out first; None for none.
        channels: 3 for RGB, 1 for gray.
        layout: what the folders directly below are: "splits" (those of other names are left out),
            "classes" of one split, or, by "auto", what their names say.
        cache: a directory in which to keep the decoded images, memory-mapped from then on; for sets
            larger than memory, or slow to decode. It does not notice when images are changed.

    Raises:
        UsageError: no images, one that cannot be read or has more than 8 bits a channel, images of
            different sizes, or folders that may be splits and may be classes.
    """
    check_sizes(image_size, crop, channels)
    check_layout(layout)
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise UsageError(f"There is no directory {str(path)!r} to read images from.")
    if layout == "auto" and (root / "dataset.json").is_file():
        raise UsageError(
            f"{str(path)!r} holds dataset.json, with the labels of pictures whose folders are no "
            "classes: take the source 'zip', or set layout='classes'."
        )
    options = {
        "folder": str(root.resolve()),
        "image_size": image_size,
        "crop": crop,
        "channels": channels,
    }
    if layout != "auto":  # a cache of before there was a choice is as good
        options["layout"] = layout
    decoding = image_size, crop, channels
    return cached(cache, options, lambda work: _read(root, work, decoding, layout))


def _read(root, work, decoding, layout):
    not_read = NotRead()
    found = pictures(root, not_read)
    if not found:
        but = f", but {not_read}" if not_read else ""
        raise UsageError(f"{str(root)!r} holds no images{but}.")
    parts = divide(str(root), found, layout, not_read)
    classes = {key: [_class(path, top) for path in files] for key, (top, files) in parts.items()}
    names = sorted({name for split in classes.values() for name in split if name is not None})
    if names:
        for key, split in classes.items():
            if None in split:
                loose = root / parts[key][1][split.index(None)]
                raise UsageError(
                    f"{str(loose)!r} is in no class folder, but other images are; put every image "
                    "into a class folder, or none."
                )
    splits, animated = {}, []
    with warnings.catch_warnings():
        # What is too large for Pillow is an error; below its limit a large picture is just large.
        _ignore_large_pictures()
        for key, (_, files) in parts.items():
            target = work and work / f"{key}_image.npy"
            paths = [root / file for file in files]
            images = _decode(paths, target, decoding, animated)
            labels = np.array([names.index(name) for name in classes[key]]) if names else None
            splits[key] = Split(images, labels)
    _warn(root, not_read, animated)
    return Source(
        name=root.resolve().name,
        splits=splits,
        label_names=tuple(names),
        attribution=f"images in {root}",
    )


def _class(path, top):
    """The class folder of a picture; None where it is in none."""
    parts = path.parts[bool(top) :]
    return parts[0] if len(parts) > 1 else None


def _decode(files, target, decoding, animated):
    """The pictures of a split; those of several frames are noted in `animated`."""

    def load(i):
        pixels, frames = picture_file.read(files[i], *decoding)
        if frames > 1:
            animated.append(files[i])
        return pixels

    return stack(
        len(files),
        load,
        name=lambda i: repr(str(files[i])),
        file=target,
        workers=min(16, os.cpu_count() or 1),
    )


def _ignore_large_pictures():
    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _warn(root, not_read, animated):
    """One line about what a user would not expect."""
    said = [f"Not read in {str(root)!r}: {not_read}."] if not_read else []
    if animated:
        first = str(min(animated))
        said.append(f"Only the first frame was read of {len(animated)} with several ({first!r}).")
    if said:
        warnings.warn(" ".join(said), UsageWarning, stacklevel=2)
