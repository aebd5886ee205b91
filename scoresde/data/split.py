"""The records of a part of a data set, in memory: images or real data, labels, what else there is.

Images stay the integers they were recorded as until they reach the device: a quarter of float32's
memory, and dequantization for likelihoods needs to know the levels exactly. Data that are no images
(points, coefficients, features) are real numbers instead, of any shape.

Beside its image and its label a record may have further arrays by name: text as numbers, a second
image, a weight. Batches carry them to whatever asks for that name, such as a condition.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde.channels import ADVICE, channels_first
from scoresde.data.mapped import is_mapped, rows_of
from scoresde.registry import UsageError

TAKEN = ("image", "label", "mask", "index")
"""The names that batches use themselves."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part (training or test) of a data set.

    Attributes:
        images: uint8 [n, height, width, channels]; or real data, floating point [n, ...] with at
            least one axis beside n. May be memory-mapped.
        labels: int32 [n]; any integers are accepted, and None means unlabeled (all zero).
        named: further arrays by name, each [n, ...]: numbers of any type. May be memory-mapped.

    Raises:
        UsageError: arrays of another type or rank, images whose channels come first, none at all,
            of different lengths, or a name that batches use themselves.
    """

    images: np.ndarray
    labels: np.ndarray | None = None
    named: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        images = self.images
        real = isinstance(images, np.ndarray) and images.dtype.kind == "f"
        if not real and not (isinstance(images, np.ndarray) and images.dtype == np.uint8):
            raise UsageError(
                "Data must be a NumPy array, uint8 for images and floating point for real data, "
                f"not {_kind(images)}."
            )
        if not real and images.ndim != 4:
            raise UsageError(
                f"Images must have shape [n, height, width, channels], not {images.shape}; "
                "add a channel axis with images[..., None] if it is missing."
            )
        if not real and channels_first(images.shape):
            raise UsageError(
                f"Images must have shape [n, height, width, channels], not {images.shape}. {ADVICE}"
            )
        if images.ndim < 2:
            raise UsageError(
                f"Real data must have shape [n, ...], not {images.shape}; give numbers an axis of "
                "their own with data[:, None]."
            )
        if not images.size:
            raise UsageError(f"A split needs at least one record, got shape {images.shape}.")
        labels = np.zeros(len(images)) if self.labels is None else np.asarray(self.labels)
        if self.labels is not None and labels.dtype.kind not in "iu":
            raise UsageError(f"Labels must be integers [n], not {_kind(labels)}.")
        if labels.shape != (len(images),):
            raise UsageError(
                f"Labels must have shape [n], one for each of {len(images)} images, "
                f"not {labels.shape}."
            )
        if not -(2**31) <= labels.min() <= labels.max() < 2**31:  # would come out as others
            raise UsageError(f"Labels must be numbers of classes, not as large as {labels.max()}.")
        object.__setattr__(self, "labels", labels.astype(np.int32))
        named = {name: _checked(name, value, len(images)) for name, value in self.named.items()}
        object.__setattr__(self, "named", named)

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        named = "".join(f", {k} {v.dtype}{list(v.shape[1:])}" for k, v in self.named.items())
        return f"Split({len(self)} x {self.images.dtype}{list(self.image_shape)}{named})"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels), or the shape of a record of real data."""
        return self.images.shape[1:]

    @property
    def real(self) -> bool:
        """Whether the data are real numbers, not the integer levels of images."""
        return self.images.dtype.kind == "f"

    @property
    def on_disk(self) -> bool:
        """Whether records are read from memory-mapped files."""
        return any(is_mapped(array) for array in (self.images, *self.named.values()))

    def part(self, rows: np.ndarray | slice) -> "Split":
        """The split of these rows alone."""
        further = {name: array[rows] for name, array in self.named.items()}
        return Split(self.images[rows], self.labels[rows], further)

    def batch(self, rows: np.ndarray | slice) -> dict[str, np.ndarray]:
        """The records of these rows: dict(image, label, and the further arrays by their names).

        Of a memory-mapped file these rows are read, and nothing of it stays in memory.
        """
        further = {name: rows_of(array, rows) for name, array in self.named.items()}
        return {"image": rows_of(self.images, rows), "label": self.labels[rows], **further}


def is_numeric(array: np.ndarray) -> bool:
    """Whether an array holds numbers, which a device takes, and not text or objects."""
    return array.dtype.kind in "biufc"


def _checked(name, value, count):
    """A further array of `count` records."""
    if not isinstance(name, str) or not name or name in TAKEN:
        raise UsageError(
            f"A further array of a split cannot be called {name!r}: give it a name that batches do "
            f"not use themselves, as they do {', '.join(TAKEN)}."
        )
    array = np.asanyarray(value)
    if not is_numeric(array):
        raise UsageError(
            f"{name!r} must hold booleans, integers or floats of NumPy, not {_kind(array)}: give "
            "text as its tokens or its embedding."
        )
    if array.shape[:1] != (count,):
        raise UsageError(
            f"{name!r} must have shape [n, ...], one row for each of {count} images, not "
            f"{array.shape}."
        )
    return array


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"
