"""Parts of an experiment that must know of each other: raised for where they do not."""

from typing import Any

from scoresde import networks
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


def check_classifier(experiment: Experiment) -> None:
    """A classifier, and no other network, is trained by an objective that trains classifiers."""
    network, trains = experiment.network, experiment.trains_classifier
    gives_logits = isinstance(network, networks.ClassifierNetwork)
    if gives_logits > trains or (trains > gives_logits and isinstance(network, networks.Network)):
        raise UsageError(
            "Classifiers, of `scoresde list classifiers`, are trained by config.loss.objective="
            "'classification', and other networks by others: this network is "
            f"{'one' if gives_logits else 'none'}, and its objective is another."
        )
    if trains and "label" not in experiment.condition:
        raise UsageError("A classifier is trained on labels: set config.data.labels=True.")
    if trains and experiment.training.eval_fd_every:
        raise UsageError("A classifier has no samples: set config.training.eval_fd_every=0.")
