"""Checkpoints of score_sde's noise-conditional classifier (Song et al. 2021, arXiv:2011.13456).

The network of `networks.wide_resnet` has the names of its weights.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

from scoresde import networks
from scoresde.pretrained import averages, file_kinds, flax_file
from scoresde.pretrained.model import Pretrained
from scoresde.pretrained.weights import Checkpoint, fit, flatten
from scoresde.registry import UsageError

STEM = "init_conv"
"""A module that every such network has."""

IMAGE_SHAPE = (32, 32, 3)
"""Of CIFAR-10."""


def load_score_sde_classifier(
    path: str | pathlib.Path, *, num_classes: int = 10, raw: bool = False, **options: Any
) -> Pretrained:
    """The classifier from a msgpack file: its parameters alone, or in a training state.

    Args:
        path: the file.
        num_classes: number of classes.
        raw: of a training state, whether to take the weights as trained instead of their average.
        **options: of `networks.wide_resnet`, if the network is not the published one.

    Raises:
        UsageError: a file that holds no such parameters, or ones that do not fit.
    """
    network = networks.get("wide_resnet", num_classes=num_classes, **options)
    params = params_from_score_sde(read(path, raw).weights, network, IMAGE_SHAPE)
    return Pretrained(network=network, params=params, image_shape=IMAGE_SHAPE, prediction=None)


def read(path: str | pathlib.Path, raw: bool = False) -> Checkpoint:
    """The parameter tree in a file; see `load_score_sde_classifier`.

    Raises:
        UsageError: a file that holds none.
    """
    state = flax_file.read(path)
    optimizer = state.get("optimizer")
    trained = optimizer.get("target") if isinstance(optimizer, Mapping) else state.get("params")
    averaged = state.get("params_ema", state.get("ema_params"))
    for tree, is_average in (
        (None if raw else averaged, True),
        (trained, False),
        (state, False if raw else None),
    ):
        tree = tree.get("params", tree) if isinstance(tree, Mapping) else {}
        if STEM in tree:
            return Checkpoint(tree, averages.step_of(state), is_average)
    raise UsageError(
        f"{path} holds no classifier of score_sde's, which has a module {STEM}; it holds "
        f"{file_kinds.some(state)}."
    )


def params_from_score_sde(
    tree: Mapping[str, Any], network: networks.Network, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Parameters from a tree of the classifier's.

    Raises:
        UsageError: the tree does not fit the network.
    """
    return fit(flatten(tree), network.parameter_shapes(image_shape))
