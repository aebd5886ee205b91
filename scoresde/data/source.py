"""What a data set is here: its splits, what the values in them mean, a name and a license."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from scoresde.data.mapped import largest
from scoresde.data.split import Split
from scoresde.registry import UsageError, closest

MOST_CLASSES = 2**20
"""Numbers from there on are not of classes, but of the images, or nothing's."""


def numbered(highest: int) -> tuple[str, ...]:
    """The names "0", "1", ... of labels up to `highest`, which have no others; none for -1.

    Raises:
        UsageError: there would be millions of them.
    """
    if highest >= MOST_CLASSES:
        raise UsageError(
            f"There is a label {highest}, and no data set has so many classes: number them from 0 "
            "on, or leave the labels out."
        )
    return tuple(map(str, range(highest + 1)))


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
        splits: "train" and "test" (either may be absent), and others by their names, to `Split`;
            looking up one that is absent raises a UsageError.
        bins: number of gray levels; images take the values 0 .. bins - 1. None for real data.
        label_names: the name of each label; empty for unlabeled images.
        attribution: where the images come from, and under which license.

    Raises:
        UsageError: images outside the levels, real data that are not finite, labels without a name,
            or splits that differ in the shape of their images or further arrays.
    """

    name: str
    splits: Mapping[str, Split]
    bins: int | None = 256
    label_names: tuple[str, ...] = ()
    attribution: str = ""

    def __post_init__(self):
        object.__setattr__(self, "splits", _Splits(self.name, self.splits))
        object.__setattr__(self, "label_names", tuple(str(name) for name in self.label_names))
        if not self.splits:
            raise UsageError(f"The data set {self.name!r} has no splits; give 'train' or 'test'.")
        if self.bins is not None and not 2 <= self.bins <= 256:
            raise UsageError(f"bins must be 2 .. 256, the values of uint8, not {self.bins}.")
        self._check_shapes("images", {k: s.image_shape for k, s in self.splits.items()})
        for name in sorted({name for split in self.splits.values() for name in split.named}):
            shapes = {k: s.named[name].shape[1:] for k, s in self.splits.items() if name in s.named}
            self._check_shapes(f"{name!r}", shapes)
        for key, split in self.splits.items():
            self._check_values(key, split)
            self._check_labels(key, split)

    def _check_shapes(self, name, shapes):
        if len(set(shapes.values())) > 1:
            raise UsageError(
                f"The splits of {self.name!r} must have {name} of one shape, not {shapes}; "
                "resize them to one size."
            )

    def _check_values(self, key, split):
        if split.real != (self.bins is None):
            remedy = (
                f"bins={self.bins} needs uint8 levels: convert floats in [0, 1] with "
                "(255 * x).round().astype('uint8'), or set bins=None for real data."
                if split.real
                else "their number of gray levels must be given as bins (2 .. 256)."
            )
            raise UsageError(
                f"The {key} images of {self.name!r} are {split.images.dtype}, and {remedy}"
            )
        # Here and below: a large memory-mapped file is not read.
        if split.real and not _mapped(split.images) and not np.isfinite(split.images).all():
            raise UsageError(f"The {key} data of {self.name!r} hold values that are not finite.")
        # All of uint8 is allowed at 256 bins.
        if not split.real and self.bins < 256 and (highest := largest(split.images)) >= self.bins:
            raise UsageError(
                f"The {key} images of {self.name!r} reach {highest}, but bins={self.bins} "
                f"allows 0 .. {self.bins - 1}; set bins to {highest + 1} or more."
            )

    def _check_labels(self, key, split):
        low, high, names = int(split.labels.min()), int(split.labels.max()), len(self.label_names)
        if low < 0 or high >= max(names, 1):
            raise UsageError(
                f"The {key} labels of {self.name!r} span {low} .. {high}, but there are {names} "
                "label names; labels run from 0 in the order of label_names."
            )

    def label_number(self, label: int | str) -> int:
        """The number of a class, 0 .. len(label_names) - 1.

        Args:
            label: its number, as 3, "3" or "#3", or its name.

        Raises:
            UsageError: there is no such class, or it is the number of one and the name of another.
        """
        names, text = self.label_names, str(label)
        digits = text.removeprefix("#")
        number = int(digits) if digits.isascii() and digits.isdecimal() else None
        in_range = number is not None and number < max(len(names), 1)
        if isinstance(label, str) and label in names:
            named = names.index(label)
            if in_range and named != number:
                raise UsageError(
                    f"The label {label!r} is the name of class {named} and the number of class "
                    f"{names[number]!r}: give '#{named}' or '#{number}'."
                )
            return named
        if not in_range:
            hint = "" if number is not None else closest(text, list(names))
            known = f", or its name: {_shortened(names)}" if names else ""
            raise UsageError(
                f"The label must be 0 .. {max(len(names), 1) - 1}{known}; got {label!r}.{hint}"
            )
        return number

    def __repr__(self) -> str:
        splits = ", ".join(f"{key}={split!r}" for key, split in self.splits.items())
        labels = f", {len(self.label_names)} labels" if self.label_names else ""
        return f"Source({self.name!r}, {splits}, bins={self.bins}{labels})"

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(height, width, channels) of every image, or the shape of a record of real data."""
        return next(iter(self.splits.values())).image_shape


def _shortened(names):
    return ", ".join(names[:20]) + ", ..." * (len(names) > 20)


def _mapped(array: np.ndarray) -> bool:
    return isinstance(array, np.memmap) or isinstance(array.base, np.memmap)
