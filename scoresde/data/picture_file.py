"""One picture from a file: its pixels, or one line that says why there are none."""

import io
import os
import pathlib

import numpy as np

from scoresde.data.decode import fit, see_through
from scoresde.registry import UsageError


def read(
    path: pathlib.Path,
    image_size: int | None,
    crop: int | None,
    channels: int = 3,
    *,
    content: bytes | None = None,
    opaque: bool = False,
) -> tuple[np.ndarray, int]:
    """The pixels of a picture, uint8 [height, width, channels], and how many frames its file has.

    Of several frames (GIF, TIFF, animated PNG and WebP) the first is read, of an icon's sizes the
    largest, of layers the picture that they make.

    Args:
        path: the file.
        image_size: see `scoresde.data.decode.fit`, as for what follows.
        crop: side of a central square to keep.
        channels: 3 for RGB, 1 for gray.
        content: what the file holds, where it is none of its own but within another.
        opaque: refuse a picture with transparent parts; `fit` makes them white.

    Raises:
        UsageError: a file that is empty, damaged, cut short, of no known format or of more pixels
            than Pillow's limit, or a picture that `fit` refuses, or is to be opaque and is not; the
            message names the file.
    """
    from PIL import Image, UnidentifiedImageError

    remedy = "repair or remove it"
    try:
        with Image.open(path if content is None else io.BytesIO(content)) as picture:
            frames = 1 if picture.format == "PSD" else getattr(picture, "n_frames", 1)
            if frames > 1:
                picture.seek(0)  # counting them has moved on
            if opaque and see_through(picture):
                raise UsageError("has transparent parts: paint them in black or white.")
            return fit(picture, image_size, crop, channels), frames
    except UsageError as error:
        raise UsageError(f"{str(path)!r} {error}") from None
    except Image.DecompressionBombError as error:
        reason = f"more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit"
        remedy = "remove it if it is damaged, else reduce it or raise PIL.Image.MAX_IMAGE_PIXELS"
        cause = error
    except UnidentifiedImageError as error:
        empty = not (os.path.getsize(path) if content is None else len(content))
        reason = "it is empty" if empty else "damaged, or of no format that Pillow knows"
        cause = error
    except Exception as error:  # damaged bytes raise whatever the decoder stumbles over
        message = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
        cause = error
    raise UsageError(f"{str(path)!r} cannot be read as an image ({reason}); {remedy}.") from cause
