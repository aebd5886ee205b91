"""What JPEG's standard fixes: the transform of a block, its quantization tables, and the colors."""

import numpy as np

# ITU-T T.81, annex K: the tables of quality 50, for luminance and for the two chrominances.
_LUMINANCE = """
    16 11 10 16  24  40  51  61
    12 12 14 19  26  58  60  55
    14 13 16 24  40  57  69  56
    14 17 22 29  51  87  80  62
    18 22 37 56  68 109 103  77
    24 35 55 64  81 104 113  92
    49 64 78 87 103 121 120 101
    72 92 95 98 112 100 103  99
"""
_CHROMINANCE = """
    17 18 24 47 99 99 99 99
    18 21 26 66 99 99 99 99
    24 26 56 99 99 99 99 99
    47 66 99 99 99 99 99 99
    99 99 99 99 99 99 99 99
    99 99 99 99 99 99 99 99
    99 99 99 99 99 99 99 99
    99 99 99 99 99 99 99 99
"""

# JFIF's luma and color differences of R, G and B (ITU-R BT.601), without their offset of 128.
_RED, _BLUE = 0.299, 0.114
_GREEN = 1 - _RED - _BLUE
TO_YCC = np.array(
    [
        [_RED, _GREEN, _BLUE],
        np.array([-_RED, -_GREEN, 1 - _BLUE]) / (2 * (1 - _BLUE)),
        np.array([1 - _RED, -_GREEN, -_BLUE]) / (2 * (1 - _RED)),
    ]
)
TO_RGB = np.linalg.inv(TO_YCC)


def _transform() -> np.ndarray:
    k, n = np.mgrid[:8, :8]
    rows = np.cos(np.pi * k * (2 * n + 1) / 16) / 2
    rows[0] /= np.sqrt(2)
    return rows


TRANSFORM = _transform()
"""The orthonormal discrete cosine transform of eight values, [8, 8]; of a block, of both sides."""


def quantization_table(quality: int, chrominance: bool = False) -> np.ndarray:
    """The steps of a block's 8x8 coefficients, [8, 8] integers 1 .. 255, lowest frequencies first.

    The standard's table, scaled as the Independent JPEG Group's encoder does: by 5000 / quality
    percent below quality 50, and 200 - 2 quality from there.

    Args:
        quality: 1 .. 100.
        chrominance: whether of the color differences.
    """
    table = np.array((_CHROMINANCE if chrominance else _LUMINANCE).split(), int).reshape(8, 8)
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((table * percent + 50) // 100, 1, 255)
