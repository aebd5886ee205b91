"""How many bits a channel has in a picture's file, which Pillow does not always tell.

Pillow's modes of several channels (RGB, RGBA, LA, CMYK) have 8 bits each: of a file with more it
keeps the high byte while it opens, and the mode that comes out is that of an ordinary picture.
"""

import contextlib
import struct
from collections.abc import Callable
from typing import Any

# Bytes of a file in which the headers below are looked for; color profiles may come before them.
_HEAD = 1 << 20


def bits(picture: Any) -> int:
    """Bits a channel, at least 8, of a PIL image: in its file where it has one, else in memory.

    Args:
        picture: what `PIL.Image.open` returns, before or after its pixels are read, or an image
            made otherwise.
    """
    if picture.mode.startswith(("I", "F")):
        return 16 if picture.mode.startswith("I;16") else 32
    of_file = _FORMATS.get(picture.format)
    told = picture.info.get("bit_depth")  # by plugins, as that for HEIF
    found = [told if isinstance(told, int) else 8]
    if of_file is not None:
        # A header too damaged to be read here is what the decoder will complain of.
        with contextlib.suppress(struct.error, IndexError, KeyError, TypeError, ValueError):
            found.append(of_file(picture))
    return max(8, *found)


def _head(picture: Any) -> bytes:
    """The first bytes of the picture's file, which is left where it was."""
    file = getattr(picture, "fp", None)
    if file is None or file.closed:
        if not picture.filename:
            return b""
        with open(picture.filename, "rb") as file:
            return file.read(_HEAD)
    position = file.tell()
    try:
        file.seek(0)
        return file.read(_HEAD)
    finally:
        file.seek(position)


def _png(picture):
    head = _head(picture)
    return head[24] if head[12:16] == b"IHDR" else 8


def _tiff(picture):
    return max(picture.tag_v2.get(258, (8,)))  # BitsPerSample


def _pnm(picture):
    decoder, *_, args = picture.tile[0]
    return args[1].bit_length() if decoder.startswith("ppm") else 8  # the largest value


def _sgi(picture):
    return 8 * _head(picture)[3]  # bytes a channel


def _jpeg2000(picture):
    head = _head(picture)
    start = head.index(b"\xff\x4f\xff\x51")  # a codestream begins with its sizes (SIZ)
    (count,) = struct.unpack_from(">H", head, start + 40)
    return max((head[start + 42 + 3 * i] & 0x7F) + 1 for i in range(count))


def _avif(picture):
    # The configuration of each AV1 stream: color, and transparency where there is any.
    streams = _head(picture).split(b"av1C")[1:]
    high, twelve = 0x40, 0x20
    return max(8 + 2 * bool(s[2] & high) + 2 * bool(s[2] & twelve) for s in streams)


def _dds(picture):
    if getattr(picture, "pixel_format", "").startswith("BC6H"):
        return 16
    decoder, *_, args = picture.tile[0]
    return max(mask.bit_count() for mask in args[1]) if decoder == "dds_rgb" else 8


_FORMATS: dict[str | None, Callable[[Any], int]] = {
    "PNG": _png,
    "TIFF": _tiff,
    "PPM": _pnm,
    "SGI": _sgi,
    "JPEG2000": _jpeg2000,
    "AVIF": _avif,
    "DDS": _dds,
}
