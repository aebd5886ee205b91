"""Pictures of any size and mode to one shape of uint8 pixels, with Pillow."""

from typing import Any

import numpy as np

from scoresde.data.bit_depth import bits
from scoresde.registry import UsageError


def check_sizes(image_size: int | None, crop: int | None, channels: int = 3) -> None:
    """Checks the options of `fit` before any image is read.

    Raises:
        UsageError: a size that is not positive, or channels other than 1 (gray) and 3 (RGB).
    """
    for name, size in (("image_size", image_size), ("crop", crop)):
        if size is not None and size < 1:
            raise UsageError(f"{name} must be a positive number of pixels, not {size}.")
    if channels not in (1, 3):
        raise UsageError(f"channels must be 1 (gray) or 3 (RGB), not {channels}.")


def fit(picture: Any, image_size: int | None, crop: int | None, channels: int = 3) -> np.ndarray:
    """The pixels of a PIL image, uint8 [height, width, channels].

    It is turned as its EXIF data say, and transparent parts become white. With `crop`, the central
    square of that many pixels is cut out first (140 for CelebA, as in Song et al. 2021). With
    `image_size`, the largest central square is then resized to it by an antialiased bicubic filter;
    without, the size stays.

    Args:
        picture: the PIL image; of one of several frames, the frame that it is at.
        image_size: side of the result in pixels, or None to keep the picture's size.
        crop: side of the central square to keep, or None.
        channels: 3 for RGB, 1 for gray.

    Raises:
        UsageError: a picture smaller than `crop`, without pixels, or of more than 8 bits a channel,
            in its file too (see `scoresde.data.bit_depth`): how bright its levels are meant to be
            is not known here.
    """
    from PIL import Image, ImageOps

    if not min(picture.size):
        raise UsageError(f"is {picture.height}x{picture.width}: it has no pixels; remove it.")
    if (depth := bits(picture)) > 8:
        raise UsageError(f"has {depth} bits a channel, more than 8 bits; convert it to 8 first.")
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    picture = picture.convert("RGB" if channels == 3 else "L")
    if crop is not None:
        if min(picture.size) < crop:
            width, height = picture.size
            raise UsageError(f"is {height}x{width}, smaller than crop={crop}; set a smaller crop.")
        picture = picture.crop(_central(picture.size, crop))
    if image_size is not None:
        box = _central(picture.size, min(picture.size))
        size = (image_size, image_size)
        if picture.size != size:
            picture = picture.resize(size, Image.Resampling.BICUBIC, box=box)
    return np.asarray(picture).reshape(picture.height, picture.width, channels)


def see_through(picture: Any) -> bool:
    """Whether a PIL image has a pixel that is not opaque."""
    if not picture.has_transparency_data:
        return False
    return picture.convert("RGBA").getextrema()[3][0] < 255


def _central(size, side):
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return left, top, left + side, top + side
