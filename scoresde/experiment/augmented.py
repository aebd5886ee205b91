"""An augmentation of the training images, and the rest of an experiment."""

from typing import Any

from scoresde.augmentations import AUGMENT_LABELS
from scoresde.experiment.experiment import Experiment
from scoresde.registry import UsageError


def check_augmentation(experiment: Experiment, augmentation: Any) -> None:
    """Raises UsageError unless the network is told what is done, and nothing else has to be."""
    if augmentation is None:
        return
    network, length = experiment.network, getattr(augmentation, "length", None)
    takes = getattr(getattr(network, "module", None), "augment_dim", length)
    if AUGMENT_LABELS not in getattr(network, "condition_names", {AUGMENT_LABELS}) or (
        takes != length
    ):
        raise UsageError(
            "config.loss.augmentation changes images and tells the network how, or samples would "
            f"be changed, too: take one of EDM's networks, with config.network.augment_dim={length}"
            f"{f', not {takes}' if takes != length else ''}."
        )
    if experiment.degradation is not None:
        raise UsageError(
            "config.loss.augmentation moves the image and not what config.data.condition_from "
            "makes of it: leave out one of them."
        )
