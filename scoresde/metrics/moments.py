"""Mean and covariance of features, added up batch by batch.

    moments = Statistics().update(features).result()
    mean, covariance = moments

With a fixed offset c, here the mean of the first batch, in float64,

    s = sum (x - c),    S = sum (x - c)(x - c)^T,
    mean = c + s/n,     covariance = (S - s s^T / n) / (n - 1).

The offset keeps the two terms of the covariance from cancelling where features are far from zero.
"""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scoresde.metrics import feature_arrays
from scoresde.registry import UsageError, UsageWarning


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of a set of features; unpacks as these two.

    Attributes:
        mean: [d], float64.
        covariance: [d, d], float64, with n - 1.
        num: how many features they are of; None if that is not known.
        protocol: what the features depend on besides the images (extractor, resize, type of
            numbers, hash of the weights); None if that is not known.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num: int | None = None
    protocol: Mapping[str, Any] | None = None

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter((self.mean, self.covariance))


class Statistics:
    """Adds up count, mean and covariance of features, in float64 on the host."""

    def __init__(self):
        self.num = 0
        self._offset: np.ndarray | None = None
        self._sum: np.ndarray | None = None
        self._products: np.ndarray | None = None

    def update(self, features: Any) -> "Statistics":
        """Adds features to those before; the same statistics, for chaining.

        Args:
            features: [n, d], of NumPy or JAX, real numbers of any type; n may be 0.

        Raises:
            UsageError: no such array, numbers that are not finite, or another d than before. The
                statistics are then as before.
        """
        features = feature_arrays.checked(features, "Features", least=0)
        if not len(features):
            return self
        if self._offset is None:
            self._start(np.mean(features, axis=0, dtype=np.float64))
        self._check_length(features.shape[1])
        for start in range(0, len(features), feature_arrays.BLOCK):
            block = features[start : start + feature_arrays.BLOCK] - self._offset
            self._sum += block.sum(axis=0)
            self._products += block.T @ block
        self.num += len(features)
        return self

    def merge(self, other: "Statistics") -> "Statistics":
        """Adds what another one has seen, as a process of its own; the same statistics.

        Raises:
            UsageError: `other` is of features of another length.
        """
        if not isinstance(other, Statistics):
            raise UsageError(f"Statistics are merged with Statistics, not {type(other).__name__}.")
        if other._offset is None:
            return self
        if self._offset is None:
            self._start(other._offset)
        self._check_length(len(other._offset))
        shift = other._offset - self._offset
        mixed = np.outer(shift, other._sum)
        self._products += other._products + mixed + mixed.T + other.num * np.outer(shift, shift)
        self._sum += other._sum + other.num * shift
        self.num += other.num
        return self

    def result(self, protocol: Mapping[str, Any] | None = None) -> Moments:
        """The moments of what was added; a warning where they are too few for a distance.

        Args:
            protocol: see `Moments`.

        Raises:
            UsageError: fewer than two features were added.
        """
        moments = self._result(protocol)
        warn_of_few(self.num, len(moments.mean), stacklevel=3)
        return moments

    def _result(self, protocol=None) -> Moments:
        if self.num < 2:
            raise UsageError(
                f"A covariance is of at least 2 images, got {self.num}: add more features."
            )
        mean = self._sum / self.num
        covariance = self._products - self.num * np.outer(mean, mean)
        covariance /= self.num - 1
        return Moments(self._offset + mean, covariance, self.num, protocol)

    def _start(self, offset: np.ndarray) -> None:
        self._offset = np.array(offset, np.float64)
        self._sum = np.zeros_like(self._offset)
        self._products = np.zeros((len(offset), len(offset)))

    def _check_length(self, length: int) -> None:
        if length != len(self._offset):
            raise UsageError(
                f"Features must be of one kind: there were {len(self._offset)} numbers an image, "
                f"now there are {length}."
            )


def of(features: Any) -> Moments:
    """The moments of one array of features, [n, d], without the warning.

    Raises:
        UsageError: as `Statistics`.
    """
    return Statistics().update(features)._result()


def warn_of_few(num: int, length: int, stacklevel: int = 2) -> None:
    """Warns where there are no more images than numbers an image: the covariance is singular."""
    if num <= length:
        warnings.warn(
            f"{num} images for {length} numbers an image: a Frechet distance is finite, but mostly "
            "the bias of so few. Compare it with ones of equal count only.",
            UsageWarning,
            stacklevel=stacklevel,
        )
