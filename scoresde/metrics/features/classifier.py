"""The small classifiers of the bundled images, whose weights ship with the package.

experiments/train_classifier.py trained them. A distance over their features says how far samples
are from the bundled data, offline; it is no FID and does not compare with one.
"""

import functools
import hashlib
import importlib.resources
import io
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.metrics.images import rgb
from scoresde.networks.classifier import classify
from scoresde.registry import UsageError


class _Bundled(NamedTuple):
    """What is in a file of weights."""

    params: Any
    widths: tuple[int, ...]
    image_shape: tuple[int, ...]
    label_names: tuple[str, ...]
    sha256: str


class BundledClassifier:
    """Features and logits of images of one size by a small convolutional classifier.

    Attributes:
        name: what reports call it.
        dim: numbers an image.
        is_inception: False: a Frechet distance over these features is no FID.
        image_shape: (height, width, channels) of the images that it takes.
        label_names: of its classes, in the order of the logits.
        protocol: all that the features depend on besides the images.
    """

    is_inception = False

    def __init__(self, data: str, name: str):
        self._bundled = _read(f"{data}_classifier.npz")
        self.name, self.dim = name, self._bundled.widths[-1]
        self.image_shape = self._bundled.image_shape
        self.label_names = self._bundled.label_names
        self.protocol = {
            "name": name,
            "resize": "none",
            "weights": f"{data}_classifier.npz, bundled",
            "sha256": self._bundled.sha256,
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __call__(self, images: Array) -> dict[str, Array]:
        """ "features" [n, dim] and "logits" [n, classes] of images.

        Args:
            images: uint8 0 .. 255, [n, height, width, channels], of the classifier's size; with
                one channel or three, as gray pictures are often saved.

        Raises:
            UsageError: images of another type or size.
        """
        pixels, (height, width, _) = rgb(images), self.image_shape
        if pixels.shape[1:3] != (height, width):
            raise UsageError(
                f"The {self.name} takes images of {height}x{width} pixels, got "
                f"{pixels.shape[1]}x{pixels.shape[2]}: take other --features for them."
            )
        return _look(self._bundled.params, pixels, self._bundled.widths, len(self.label_names))


def digits_classifier() -> BundledClassifier:
    """Of the digits: 8x8 gray images in ten classes; 99.0 % of the test images are right."""
    return BundledClassifier("digits", "digits classifier")


def emoji_classifier() -> BundledClassifier:
    """Of the pictograms: 32x32 color images in nine groups; 66 % of the test images are right."""
    return BundledClassifier("emoji32", "emoji classifier")


@functools.partial(jax.jit, static_argnums=(2, 3))
def _look(params, images, widths, classes):
    gray = params["Conv_0"]["kernel"].shape[2] == 1
    x = images.astype(jnp.float32)
    x = jnp.mean(x, axis=-1, keepdims=True) if gray else x
    features, logits = classify(params, x / 127.5 - 1, widths, classes)
    return {"features": features, "logits": logits}


@functools.cache
def _read(file: str) -> _Bundled:
    package = importlib.resources.files("scoresde.metrics.features")
    content = package.joinpath("bundled", file).read_bytes()
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        found = dict(arrays)
    known = {key: found.pop(key) for key in ("widths", "image_shape", "label_names")}
    params: dict[str, Any] = {}
    for path, array in found.items():
        layer, name = path.split("/")
        params.setdefault(layer, {})[name] = np.asarray(array, np.float32)
    return _Bundled(
        params=params,
        widths=tuple(known["widths"].tolist()),
        image_shape=tuple(known["image_shape"].tolist()),
        label_names=tuple(known["label_names"].tolist()),
        sha256=hashlib.sha256(content).hexdigest(),
    )
