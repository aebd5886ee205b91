"""A small convolutional classifier of images, whose last hidden layer is a feature of them."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from scoresde.networks.layers import Conv


class ImageClassifier(nn.Module):
    """Stages of two 3x3 convolutions and a halving, then means over the image and one matrix.

    Smooth (swish and average pools), so that its features move with every pixel.

    Attributes:
        widths: channels of each stage.
        classes: number of classes.
        dropout: share of the features that training leaves out.
    """

    widths: Sequence[int]
    classes: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array]:
        """Images [batch, height, width, channels] -> features [batch, widths[-1]] and logits."""
        for number, width in enumerate(self.widths):
            if number:
                x = nn.avg_pool(x, (2, 2), strides=(2, 2))
            x = nn.swish(Conv(width)(x))
            x = nn.swish(nn.GroupNorm(8)(Conv(width)(x)))
        features = jnp.mean(x, axis=(1, 2))
        kept = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, nn.Dense(self.classes)(kept)


def classify(
    params: Any, images: Array, widths: Sequence[int], classes: int
) -> tuple[Array, Array]:
    """Features and logits of a trained classifier, in float32 whatever the device prefers.

    Args:
        params: its parameters.
        images: in [-1, 1], [batch, height, width, channels].
        widths: see `ImageClassifier`.
        classes: see `ImageClassifier`.
    """
    with jax.default_matmul_precision("highest"):
        return ImageClassifier(tuple(widths), classes).apply({"params": params}, images)
