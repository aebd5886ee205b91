"""Pictures of batches: grids as PNG, and animations of them."""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from scoresde import files
from scoresde.data.transforms import check_levels
from scoresde.registry import UsageError

_GAP = 2  # pixels between the images of a grid
_GAP_GRAY = 128  # tells the gap from black and from white images
_READABLE = 64  # images are enlarged to about this many pixels


def image_grid(
    images: np.ndarray, *, columns: int | None = None, bins: int = 256, scale: int | None = None
) -> np.ndarray:
    """Images side by side, row by row: uint8 [height, width, 1 or 3], with values 0 .. 255.

    Args:
        images: uint8 levels [n, height, width, channels]; see `drawable` for what is shown of other
            channels than one (gray) and three (RGB).
        columns: images in a row; default: as square as possible.
        bins: number of gray levels; 0 .. bins-1 become 0 .. 255.
        scale: enlargement, by bicubic interpolation (what eight pixels show is hard to see in
            squares); 1 for the pixels as they are. Default: so that images of 8 to 32 pixels are
            shown with 64, larger ones as they are.

    Raises:
        UsageError: images of another type or shape, values beyond the levels, or a columns or scale
            below one.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4:
        raise UsageError(
            "A grid needs uint8 images [n, height, width, channels], not "
            f"{images.dtype} {list(images.shape)}; a codec's decode makes them of samples."
        )
    if not images.size:
        raise UsageError("A grid needs at least one image.")
    check_levels(images, bins)
    scale = max(1, _READABLE // max(images.shape[1:3])) if scale is None else scale
    images = drawable(images)
    n, height, width, channels = images.shape
    columns = int(np.ceil(np.sqrt(n * height / width))) if columns is None else columns
    if columns < 1 or scale < 1:
        raise UsageError(f"columns and scale must be at least 1, not {columns} and {scale}.")

    enlarged = [_enlarge(image, scale) for image in _stretched(images, bins)]
    rows, height, width = -(-n // columns), height * scale + _GAP, width * scale + _GAP
    shape = (rows * height + _GAP, columns * width + _GAP, channels)
    grid = np.full(shape, _GAP_GRAY, np.uint8)
    for i, image in enumerate(enlarged):
        top, left = _GAP + i // columns * height, _GAP + i % columns * width
        grid[top : top + height - _GAP, left : left + width - _GAP] = image
    return grid


def save_picture(path: str | os.PathLike, image: np.ndarray, *, bins: int = 256) -> None:
    """Writes one image as a picture of its own size, PNG by its suffix; makes parent folders.

    Args:
        path: the file; it is replaced in one step, never half written.
        image: uint8 levels [height, width, channels]; see `drawable` for their channels.
        bins: number of gray levels; 0 .. bins-1 become 0 .. 255.

    Raises:
        UsageError: values beyond the levels, or a suffix of no known format.
    """
    image = np.asarray(image)
    check_levels(image, bins)
    _save(path, [_stretched(drawable(image), bins)])


def _stretched(images, bins):
    """Levels 0 .. bins-1 as 0 .. 255."""
    return np.round(images * (255 / (bins - 1))).astype(np.uint8)


def drawable(images: np.ndarray) -> np.ndarray:
    """Images [..., height, width, 1 or 3] of images with any number of channels.

    Gray and RGB are what they are; any other channels stand side by side, the first at the left,
    each in gray.
    """
    *batch, height, width, channels = images.shape
    if channels in (1, 3):
        return images
    return np.moveaxis(images, -1, -2).reshape(*batch, height, channels * width, 1)


def _enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    if scale == 1:
        return image
    from PIL import Image

    height, width, channels = image.shape
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    size = (width * scale, height * scale)
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    return pixels.reshape(height * scale, width * scale, channels)


def save_grid(
    path: str | os.PathLike,
    images: np.ndarray,
    *,
    columns: int | None = None,
    bins: int = 256,
    scale: int | None = None,
) -> None:
    """Writes `image_grid` of the arguments as a picture, PNG by its suffix; makes parent folders.

    Args:
        path: the file; it is replaced in one step, never half written.
        images: uint8 levels [n, height, width, channels].
        columns: see `image_grid`; so are bins and scale.
        bins: number of gray levels.
        scale: enlargement.

    Raises:
        UsageError: as `image_grid`, or a suffix of no known format.
    """
    grid = image_grid(images, columns=columns, bins=bins, scale=scale)
    _save(path, [grid])


def save_animation(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray],
    *,
    columns: int | None = None,
    bins: int = 256,
    scale: int | None = None,
    milliseconds: int = 80,
) -> None:
    """Writes an endless animation, one grid a frame: .gif, .webp (lossless) or .png (animated).

    Args:
        path: the file; it is replaced in one step, never half written.
        frames: batches of images, each uint8 levels [n, height, width, channels].
        columns: see `image_grid`; so are bins and scale.
        bins: number of gray levels.
        scale: enlargement; by default half of a grid's, for noise does not compress.
        milliseconds: how long a frame is shown.

    Raises:
        UsageError: as `image_grid`, no frames, or another suffix.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in (".gif", ".webp", ".png"):
        raise UsageError(f"An animation is a .gif, .webp or .png file, not {str(path)!r}.")
    frames = list(frames)
    if not frames:
        raise UsageError("An animation needs at least one frame.")
    if scale is None:
        scale = max(1, _READABLE // 2 // max(np.shape(frames[0])[1:3], default=1))
    grids = [image_grid(f, columns=columns, bins=bins, scale=scale) for f in frames]
    options = {"save_all": True, "duration": milliseconds, "loop": 0}
    if suffix == ".webp":
        options["lossless"] = True
    _save(path, grids, **options)


def _save(path: str | os.PathLike, grids: list[np.ndarray], **options: Any) -> None:
    from PIL import Image

    path = pathlib.Path(path)
    file_format = Image.registered_extensions().get(path.suffix.lower())
    if file_format not in Image.SAVE:
        raise UsageError(f"{str(path)!r} has no suffix of an image format; use .png.")
    pictures = [Image.fromarray(g[..., 0] if g.shape[2] == 1 else g) for g in grids]
    if len(pictures) > 1:
        options["append_images"] = pictures[1:]
    with files.replacing(path) as file:
        pictures[0].save(file, format=file_format, **options)
