"""Which pixels are known: masks in picture files, white where they are, and boxes."""

import os
import pathlib
import re
from typing import Any

import numpy as np

from scoresde.data import picture_file
from scoresde.data.walk import NotRead, pictures
from scoresde.registry import UsageError, shown
from scoresde.runs.restoring.inputs import Inputs


def read_masks(
    path: str | os.PathLike, inputs: Inputs, size: tuple[int, int], threshold: int | None = None
) -> np.ndarray:
    """Where the pixels of each input are known, bool [n, height, width].

    Args:
        path: one mask for all, or a folder with one for each input, of its name with any ending.
        inputs: the inputs.
        size: (height, width) that a mask must have.
        threshold: levels from this one on, 1 .. 255, are white; None refuses what is neither black
            nor white.

    Raises:
        UsageError: there is none, it cannot be read, is of another size, or not black and white.
    """
    check_threshold(threshold)
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"A mask is a file or a folder, not {shown(path)}.")
    path = pathlib.Path(path).expanduser()
    if path.is_file():
        mask = _mask(path, size, threshold)
        return np.broadcast_to(mask, (len(inputs.names), *mask.shape))
    if not path.is_dir():
        raise UsageError(f"There is no file or folder {str(path)!r} of masks.")
    found = {}
    for name in pictures(path, NotRead()):
        found.setdefault(name.with_suffix("").as_posix(), []).append(path / name)
    for name, file in zip(inputs.names, inputs.files):
        if len(found.get(name, [])) != 1:
            many = "two masks" if name in found else "no mask"
            raise UsageError(f"{str(path)!r} holds {many} of the name {name!r}, for {str(file)!r}.")
    return np.stack([_mask(found[name][0], size, threshold) for name in inputs.names])


def check_threshold(threshold: int | None, mask: Any = True) -> None:
    """Raises UsageError unless it is a level of 1 .. 255 and there is a mask, or None."""
    if threshold is not None and mask is None:
        raise UsageError("A threshold is of a mask, and there is none: give --mask.")
    if threshold is not None and not 1 <= threshold <= 255:
        raise UsageError(f"threshold must be a level 1 .. 255, got {threshold}.")


def _mask(file, size, threshold):
    levels, _ = picture_file.read(file, None, None, 1, opaque=True)  # which color has a hole?
    if levels.shape[:2] != size:
        raise UsageError(
            f"The mask {str(file)!r} is {levels.shape[0]}x{levels.shape[1]}, and images here are "
            f"{size[0]}x{size[1]}."
        )
    levels = levels[..., 0]
    between = levels[(levels > 0) & (levels < 255)]
    if threshold is None and between.size:
        raise UsageError(
            f"The mask {str(file)!r} is not black and white: it has {between.size} pixels in "
            f"between, such as level {between[0]}. Give --threshold LEVEL for those from it on to "
            "be white."
        )
    return levels >= (255 if threshold is None else threshold)


def box_mask(box: Any, size: tuple[int, int]) -> np.ndarray:
    """A mask with an unknown box, bool [height, width].

    Args:
        box: "TOP,LEFT,HEIGHT,WIDTH" in pixels, or four integers.
        size: (height, width) of the mask.

    Raises:
        UsageError: it is none, or not within the image.
    """
    text = ",".join(map(str, box)) if isinstance(box, list | tuple) else str(box)
    if not re.fullmatch(r" *\d+ *(, *\d+ *){3}", text):
        raise UsageError(f"A box is TOP,LEFT,HEIGHT,WIDTH in pixels, not {text!r}.")
    top, left, height, width = map(int, text.split(","))
    if not (height and width and top + height <= size[0] and left + width <= size[1]):
        raise UsageError(
            f"The box {text} is not within the {size[0]}x{size[1]} pixels of the images."
        )
    mask = np.ones(size, bool)
    mask[top : top + height, left : left + width] = False
    return mask
