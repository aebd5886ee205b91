"""Augmentations of training images that do not leak into samples.

An augmentation changes images and says what it did, a vector for each image that is zero where it
did nothing. The network is told it, as the condition "augment_labels", and so learns the augmented
images apart from the others: sampled without the condition, which is with zeros, it draws images
like those of the data (Karras et al. 2022, arXiv:2206.00364, appendix F.2).

    augmentation = AUGMENTATIONS["geometric"](probability=0.12)
    x, labels = augmentation(key, x0)    # [batch, height, width, channels], [batch, length]

The objective `denoising` applies one to what it trains on: config.loss.augmentation.
"""

from scoresde.augmentations.geometric import Drawn, GeometricAugmentation
from scoresde.augmentations.warp import warped

AUGMENTATIONS = {"geometric": GeometricAugmentation}

AUGMENT_LABELS = "augment_labels"
"""What was done, in a condition; left out, nothing was."""

__all__ = ["AUGMENTATIONS", "AUGMENT_LABELS", "Drawn", "GeometricAugmentation", "warped"]
