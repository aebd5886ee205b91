"""The two small image sets that ship with the package; see bundled/README.md."""

import importlib.resources
import io

import numpy as np

from scoresde.data.source import Source
from scoresde.data.split import Split


def digits() -> Source:
    """Handwritten digits, 8x8x1 with 17 levels: 1500 for training, 297 for testing."""
    arrays = _read("digits.npz")
    return Source(
        name="digits",
        splits=divide(Split(arrays["image"], arrays["label"]), arrays["is_test"]),
        bins=17,
        label_names=tuple("0123456789"),
        attribution=(
            "Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine "
            "Learning Repository 1998, https://doi.org/10.24432/C50P49 (CC BY 4.0)"
        ),
    )


def emoji32() -> Source:
    """Color pictograms on white, 32x32x3 with 256 levels: 1688 for training, 218 for testing."""
    arrays = _read("emoji32.npz")
    return Source(
        name="emoji32",
        splits=divide(Split(arrays["image"], arrays["label"]), arrays["is_test"]),
        bins=256,
        label_names=tuple(arrays["label_names"]),
        attribution=(
            "Twemoji, copyright Twitter, Inc and other contributors, as in emoji-datasource 16; "
            "composited on white and resized (CC BY 4.0)"
        ),
    )


def divide(split: Split, is_test: np.ndarray) -> dict[str, Split]:
    """The splits that the mask `is_test` [n] makes of one of n records."""
    parts = {"train": np.flatnonzero(~is_test), "test": np.flatnonzero(is_test)}
    return {name: split.part(rows) for name, rows in parts.items() if len(rows)}


def _read(file):
    content = importlib.resources.files("scoresde.data").joinpath("bundled", file).read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
