"""What is known of a set of images: their features, or the moments of those alone."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde.metrics import Moments, Statistics
from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class FeatureSet:
    """The features of a set of images by one extractor.

    Attributes:
        name: of the images, for messages and reports.
        features: float32 [n, d]; None where only the moments are known, as of a published file.
        logits: float32 [n, classes] of extractors that have them; else None.
        given_moments: mean and covariance where there are no features.
        protocol: what the features depend on besides the images: extractor, resize, weights; None
            if that is not known.
    """

    name: str
    features: np.ndarray | None = None
    logits: np.ndarray | None = None
    given_moments: Moments | None = None
    protocol: Mapping[str, Any] | None = None

    @property
    def num(self) -> int | None:
        """How many images; None if that is not known."""
        return self.moments.num if self.features is None else len(self.features)

    def first(self, num: int) -> "FeatureSet":
        """The features of the first images only."""
        if num >= len(self.features):
            return self
        logits = None if self.logits is None else self.logits[:num]
        return dataclasses.replace(self, features=self.features[:num], logits=logits)

    @functools.cached_property
    def moments(self) -> Moments:
        """Mean and covariance of the features, in float64."""
        if self.features is None:
            return self.given_moments
        return Statistics().update(self.features).result(self.protocol)

    def need_features(self, what: str) -> np.ndarray:
        """The features themselves.

        Raises:
            UsageError: only their moments are known.
        """
        if self.features is None:
            raise UsageError(
                f"{what} compares the features themselves, and of {self.name} there are mean and "
                "covariance only: give its images, or a file with features (`scoresde stats` "
                "writes one)."
            )
        return self.features
