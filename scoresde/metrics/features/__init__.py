"""Feature extractors: networks in whose features sets of images are compared.

    extractor = features.get("inception", resize="tf1")
    extractor(images)["features"]               # images: uint8, [n, height, width, 3]

An extractor is any object that is called with images, uint8 [n, height, width, channels], an array
of NumPy's or JAX's, and gives a dictionary of arrays on the device:

    "features"   [n, dim], float32
    "logits"     [n, classes], float32, if it is a classifier, as the inception score needs one

and that has the attributes

    name            what reports call it, weights included
    dim             the length of a feature vector
    is_inception    whether a Frechet distance of these features goes by the name of FID
    protocol        what its numbers depend on: a dictionary of plain values, for the record

It reads its weights when it is made: where there are none, that is said before anything is
computed.
"""

from typing import Any, Protocol

import jax

from scoresde.metrics.features.classifier import (
    BundledClassifier,
    digits_classifier,
    emoji_classifier,
)
from scoresde.metrics.features.dinov2 import DINOv2Features
from scoresde.metrics.features.inception import InceptionFeatures
from scoresde.registry import make

EXTRACTORS = {
    "inception": InceptionFeatures,
    "dinov2": DINOv2Features,
    "digits_classifier": digits_classifier,
    "emoji_classifier": emoji_classifier,
}
"""Extractors by name; `package.module:Name` reaches one's own."""


class FeatureExtractor(Protocol):
    """See the head of this page."""

    name: str
    dim: int
    is_inception: bool
    protocol: dict[str, Any]

    def __call__(self, images: Any) -> dict[str, jax.Array]:
        """The features of images."""


def get(name: str, **options: Any) -> FeatureExtractor:
    """The extractor called `name`, made with `options`.

    Raises:
        UsageError: unknown name or option, or weights that are not there or of another network.
    """
    return make("feature extractor", EXTRACTORS, name, **options)


__all__ = [
    "EXTRACTORS",
    "BundledClassifier",
    "DINOv2Features",
    "FeatureExtractor",
    "InceptionFeatures",
    "digits_classifier",
    "emoji_classifier",
    "get",
]
