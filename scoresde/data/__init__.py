"""Image data: where it comes from, how it is scaled, and how it is fed to training.

    source = scoresde.data.get("cifar10", data_dir="~/data")
    for batch in scoresde.data.Loader(source.splits["train"], 128, seed=0, flip=True): ...

`SOURCES` names the sources; `package.module:name` reaches a function of your own that returns a
`Source`.
"""

import os
from typing import Any

from scoresde.data import archive, arrays, convert, embedded, folder, tfds, tfrecord
from scoresde.data.in_order import batches
from scoresde.data.pictures import image_grid, save_animation, save_grid, save_picture
from scoresde.data.source import Source
from scoresde.data.split import Split
from scoresde.data.transforms import (
    check_levels,
    check_range,
    dequantize,
    dequantized_to_images,
    quantize,
    scale,
    to_unit,
    unscale,
)
from scoresde.registry import make

SOURCES = {
    "digits": embedded.digits,
    "emoji32": embedded.emoji32,
    "arrays": arrays.arrays,
    "folder": folder.folder,
    "zip": archive.archive,
    "tfrecords": tfrecord.tfrecords,
    "tfds": tfds.tfds,
    "cifar10": tfds.cifar10,
}

__all__ = [
    "SOURCES",
    "Loader",
    "Source",
    "Split",
    "batches",
    "check_levels",
    "check_range",
    "dequantize",
    "dequantized_to_images",
    "get",
    "image_grid",
    "prepare_arrays",
    "quantize",
    "save_animation",
    "save_grid",
    "save_picture",
    "scale",
    "to_unit",
    "unscale",
]


def get(name: str, **options: Any) -> Source:
    """The data set called `name` in `SOURCES`, made with `options`.

    Raises:
        UsageError: an unknown name or option, or what the source itself raises.
    """
    return make("data source", SOURCES, name, **options)


def prepare_arrays(source: str, out: str | os.PathLike, **options: Any) -> Source:
    """Converts a data set into a directory of arrays, which the source "arrays" maps into memory.

    Args: as of `scoresde.data.convert.convert`, which has the options and the errors.
    """
    return convert.convert(source, out, SOURCES, **options)


def __getattr__(name: str):
    # Grain takes a second to import, which only those who train should wait for.
    if name == "Loader":
        from scoresde.data.loader import Loader

        return Loader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
