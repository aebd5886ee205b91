"""What a data set is here: images in memory as grey levels, with labels and a licence.

Images stay the integers they were recorded as until they reach the device: a quarter of float32's
memory, and dequantisation for likelihoods needs to know the levels exactly.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part (training or test) of a data set.

    Attributes:
        images: uint8 [n, height, width, channels]; may be memory-mapped.
        labels: int32 [n]; any integers are accepted, and None means unlabelled (all zero).

    Raises:
        UsageError: arrays of another type or rank, no images, or labels that do not match them.
    """

    images: np.ndarray
    labels: np.ndarray | None = None

    def __post_init__(self):
        images = self.images
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
            raise UsageError(
                f"Images must be a NumPy array of uint8 grey levels, not {_kind(images)}; "
                "convert floats in [0, 1] with (255 * x).round().astype('uint8')."
            )
        if images.ndim != 4:
            raise UsageError(
                f"Images must have shape [n, height, width, channels], not {images.shape}; "
                "add a channel axis with images[..., None] if it is missing."
            )
        if not images.size:
            raise UsageError(f"A split needs at least one image, got shape {images.shape}.")
        labels = np.zeros(len(images)) if self.labels is None else np.asarray(self.labels)
        if self.labels is not None and labels.dtype.kind not in "iu":
            raise UsageError(f"Labels must be integers [n], not {_kind(labels)}.")
        if labels.shape != (len(images),):
            raise UsageError(
                f"Labels must have shape [n], one for each of {len(images)} images, "
                f"not {labels.shape}."
            )
        object.__setattr__(self, "labels", labels.astype(np.int32))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.images.shape[1:]


class _Splits(dict):
    """The splits of a source; one that is missing is the user's mistake, not a KeyError."""

    def __init__(self, name, splits):
        super().__init__(splits)
        self._name = name

    def __missing__(self, split):
        raise UsageError(
            f"The data set {self._name!r} has no split {split!r}. Known: {', '.join(sorted(self))}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A data set.

    Attributes:
        name: what it is called, for messages and file names.
        splits: "train" and "test" (either may be absent) to `Split`; looking up one that is absent
            raises a UsageError.
        bins: number of grey levels; images take the values 0 .. bins - 1.
        label_names: the name of each label; empty for unlabelled images.
        attribution: where the images come from, and under which licence.

    Raises:
        UsageError: images outside the levels, labels without a name, or splits that differ in the
            shape of their images.
    """

    name: str
    splits: Mapping[str, Split]
    bins: int = 256
    label_names: tuple[str, ...] = ()
    attribution: str = ""

    def __post_init__(self):
        object.__setattr__(self, "splits", _Splits(self.name, self.splits))
        object.__setattr__(self, "label_names", tuple(str(name) for name in self.label_names))
        if not self.splits:
            raise UsageError(f"The data set {self.name!r} has no splits; give 'train' or 'test'.")
        if not 2 <= self.bins <= 256:
            raise UsageError(f"bins must be 2 .. 256, the values of uint8, not {self.bins}.")
        if len(shapes := {k: s.image_shape for k, s in self.splits.items()}) > 1 and (
            len(set(shapes.values())) > 1
        ):
            raise UsageError(
                f"The splits of {self.name!r} must have images of one shape, not {shapes}; "
                "resize them to one size."
            )
        for key, split in self.splits.items():
            self._check_values(key, split)

    def _check_values(self, key, split):
        # All of uint8 is allowed at 256 bins: a large memory-mapped file is then not read here.
        if self.bins < 256 and (highest := int(split.images.max())) >= self.bins:
            raise UsageError(
                f"The {key} images of {self.name!r} reach {highest}, but bins={self.bins} "
                f"allows 0 .. {self.bins - 1}; set bins to {highest + 1} or more."
            )
        low, high, names = int(split.labels.min()), int(split.labels.max()), len(self.label_names)
        if low < 0 or high >= max(names, 1):
            raise UsageError(
                f"The {key} labels of {self.name!r} span {low} .. {high}, but there are {names} "
                "label names; labels run from 0 in the order of label_names."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of every image."""
        return next(iter(self.splits.values())).image_shape


def _kind(value) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"
