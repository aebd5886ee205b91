"""Pictures of more than 8 bits a channel, most of which Pillow opens as if they had 8."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from scoresde import data
from scoresde.data.bit_depth import bits
from scoresde.data.decode import fit
from scoresde.registry import UsageError

COLORS = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)


def png(channels, depth):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    color_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = (b"\0" + bytes(2 * channels * depth // 8)) * 2
    header = struct.pack(">2I5B", 2, 2, depth, color_type, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def tiff(channels, order, photometric=2):
    """A single strip of 2x2 pixels of 16 bits."""
    entries = [(256, 2), (257, 2), (258, 16), (259, 1), (262, photometric), (277, channels)]
    size = 8 + 2 + 12 * 8 + 4
    entries[2] = (258, size)  # where the depths are
    entries += [(273, size + 2 * channels), (279, 8 * channels)]
    count = {258: channels}
    kind = {258: 3, 273: 4, 279: 4}
    fields = b""
    for tag, value in entries:
        fields += struct.pack(f"{order}HHI", tag, kind.get(tag, 3), count.get(tag, 1))
        wide = kind.get(tag, 3) == 4 or tag == 258
        fields += struct.pack(f"{order}I" if wide else f"{order}HH", *[value] + [0] * (not wide))
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    table = struct.pack(f"{order}H", len(entries)) + fields + bytes(4)
    depths = struct.pack(f"{order}{channels}H", *[16] * channels)
    return magic + table + depths + bytes(8 * channels)


def ppm(magic, largest):
    channels = 3 if magic in ("P3", "P6") else 1
    plain = magic in ("P2", "P3")
    pixels = b"7 " * (4 * channels) if plain else bytes(4 * channels * (1 + (largest > 255)))
    return f"{magic} 2 2 {largest}\n".encode() + pixels


def sgi(channels):
    header = struct.pack(">HBBHHHH", 474, 0, 2, 3 if channels > 1 else 2, 2, 2, channels)
    return header.ljust(512, b"\0") + bytes(2 * 4 * channels)


def saved(kind, **options):
    file = io.BytesIO()
    Image.fromarray(COLORS).save(file, kind, **options)
    return file.getvalue()


def jpeg2000(depth, **options):
    content = bytearray(saved("JPEG2000", **options))
    sizes = content.index(b"\xff\x4f\xff\x51")
    for channel in range(3):
        content[sizes + 42 + 3 * channel] = depth - 1
    return bytes(content)


def avif(flags, depth):
    content = bytearray(saved("AVIF"))
    content[content.index(b"av1C") + 6] |= flags
    channels = content.index(b"pixi") + 9  # Pillow looks whether the two agree
    content[channels : channels + 3] = bytes([depth] * 3)
    return bytes(content)


def dds(code=None, masks=None):
    head = b"DDS " + struct.pack("<4I", 124, 0, 4, 4) + bytes(56)
    if masks is not None:
        return head + struct.pack("<9I", 32, 0x40, 0, 32, *masks, 0, 0) + bytes(16 + 64)
    head += struct.pack("<2I4s5I", 32, 4, b"DX10", 0, 0, 0, 0, 0) + bytes(20)
    return head + struct.pack("<5I", code, 3, 0, 1, 0) + bytes(16)


DEEP = {
    **{f"png_{channels}.png": (png(channels, 16), 16) for channels in (1, 2, 3, 4)},
    **{f"tiff_{n}{o}.tif": (tiff(n, o), 16) for n in (3, 4) for o in "<>"},
    **{f"cmyk_{o}.tif": (tiff(4, o, photometric=5), 16) for o in "<>"},
    **{f"{magic}.ppm": (ppm(magic, 65535), 16) for magic in ("P3", "P6")},
    "P6_10.ppm": (ppm("P6", 1023), 10),
    "P2.pgm": (ppm("P2", 4095), 32),
    "P5.pgm": (ppm("P5", 4095), 32),
    **{f"sgi_{channels}.sgi": (sgi(channels), 16) for channels in (1, 3, 4)},
    "sixteen.jp2": (jpeg2000(16), 16),
    "twelve.j2k": (jpeg2000(12, no_jp2=True), 12),
    "ten.avif": (avif(0x40, 10), 10),
    "twelve.avif": (avif(0x60, 12), 12),
    "half_floats.dds": (dds(code=95), 16),
    "ten.dds": (dds(masks=(0x3FF, 0x3FF << 10, 0x3FF << 20)), 10),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_a_channel_are_refused_not_cut_to_the_high_byte(tmp_path, name):
    content, depth = DEEP[name]
    (tmp_path / name).write_bytes(content)
    with Image.open(tmp_path / name) as picture:  # what Pillow itself opens
        assert bits(picture) == depth
    with Image.open(io.BytesIO(content)) as picture, pytest.raises(UsageError, match="8 bits"):
        fit(picture, None, None)
    with pytest.raises(UsageError, match=f"{name}' has {depth} bits a channel") as error:
        data.get("folder", path=str(tmp_path))
    assert "\n" not in str(error.value)


EIGHT = {
    **{f"png_{channels}.png": png(channels, 8) for channels in (1, 2, 3, 4)},
    "P6.ppm": ppm("P6", 255),
    "P6_few.ppm": ppm("P6", 15),
    "P4.pbm": b"P4 2 2\n\0\0",
    "P5.pgm": ppm("P5", 255),
    "P2.pgm": ppm("P2", 100),
    "8.sgi": saved("SGI"),
    "8.jp2": saved("JPEG2000"),
    "8.avif": saved("AVIF"),
    "8.tif": saved("TIFF"),
    "8.dds": saved("DDS"),
    "palette.png": png(1, 8),
}


@pytest.mark.parametrize("name", EIGHT)
def test_pictures_of_up_to_8_bits_are_read(tmp_path, name):
    (tmp_path / name).write_bytes(EIGHT[name])
    source = data.get("folder", path=str(tmp_path))
    assert source.splits["train"].images.dtype == np.uint8
    with Image.open(tmp_path / name) as picture:
        np.testing.assert_array_equal(fit(picture, None, None), source.splits["train"].images[0])


def test_the_depth_of_a_file_is_known_after_its_pixels_were_read(tmp_path):
    (tmp_path / "16.png").write_bytes(png(3, 16))
    with Image.open(tmp_path / "16.png") as picture:
        picture.load()
        assert picture.mode == "RGB" and bits(picture) == 16
    assert bits(Image.new("RGB", (2, 2))) == 8 and bits(Image.new("F", (2, 2))) == 32
