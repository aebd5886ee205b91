"""A directory of image files.

    <path>/train/...      images, or one folder of images for each class
    <path>/test/...       the same, optional

A directory with neither is taken as the training split itself. Images are searched for in all
folders below, and ordered by path. A class is a folder directly below the split; the classes are
numbered in alphabetical order over all splits. Images that are not in a class folder have no label.
"""

import os
import pathlib

import numpy as np

from scoresde.data.cache import cached, stack
from scoresde.data.decode import check_sizes, fit
from scoresde.data.source import Source
from scoresde.data.split import Split
from scoresde.registry import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


def folder(
    path: str,
    *,
    image_size: int | None = None,
    crop: int | None = None,
    channels: int = 3,
    cache: str | None = None,
) -> Source:
    """Images from a directory, laid out as this module describes; 256 levels.

    Args:
        path: the directory.
        image_size: side in pixels to which the largest central square of each image is resized,
            with antialiasing; None if all images have one size.
        crop: side in pixels of a central square to cut out first; None for none.
        channels: 3 for RGB, 1 for gray.
        cache: a directory in which to keep the decoded images, memory-mapped from then on; for sets
            larger than memory, or slow to decode. It does not notice when images are changed.

    Raises:
        UsageError: no images, one that cannot be read, or images of different sizes.
    """
    check_sizes(image_size, crop, channels)
    root = pathlib.Path(path).expanduser()
    if not root.is_dir():
        raise UsageError(f"There is no directory {str(path)!r} to read images from.")
    options = {
        "folder": str(root.resolve()),
        "image_size": image_size,
        "crop": crop,
        "channels": channels,
    }
    return cached(cache, options, lambda work: _read(root, work, image_size, crop, channels))


def _read(root, work, image_size, crop, channels):
    tops = {key: root / key for key in ("train", "test") if (root / key).is_dir()}
    tops = tops or {"train": root}
    files = {key: _files(top) for key, top in tops.items()}
    classes = {key: [_class(file, tops[key]) for file in files[key]] for key in files}
    names = sorted({name for split in classes.values() for name in split if name is not None})
    if names:
        for key, split in classes.items():
            if None in split:
                loose = files[key][split.index(None)]
                raise UsageError(
                    f"{str(loose)!r} is in no class folder, but other images are; put every image "
                    "into a class folder, or none."
                )
    splits = {}
    for key in files:
        images = _decode(files[key], work and work / f"{key}_image.npy", image_size, crop, channels)
        labels = np.array([names.index(name) for name in classes[key]]) if names else None
        splits[key] = Split(images, labels)
    return Source(
        name=root.resolve().name,
        splits=splits,
        label_names=tuple(names),
        attribution=f"images in {root}",
    )


def _files(top):
    files = sorted(
        file
        for file in top.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )
    if not files:
        raise UsageError(f"{str(top)!r} holds no images ({', '.join(SUFFIXES)}).")
    return files


def _class(file, top):
    parts = file.relative_to(top).parts
    return parts[0] if len(parts) > 1 else None


def _decode(files, target, image_size, crop, channels):
    from PIL import Image, ImageOps

    def load(i):
        try:
            with Image.open(files[i]) as picture:
                return fit(ImageOps.exif_transpose(picture), image_size, crop, channels)
        except UsageError as error:
            raise UsageError(f"{str(files[i])!r} {error}") from None
        except (OSError, SyntaxError, ValueError) as error:
            raise UsageError(
                f"{str(files[i])!r} cannot be read as an image ({error}); repair or remove it."
            ) from error

    return stack(
        len(files),
        load,
        name=lambda i: repr(str(files[i])),
        file=target,
        workers=min(16, os.cpu_count() or 1),
    )
