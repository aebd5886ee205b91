"""Weights of score_sde (JAX) and score_sde_pytorch, in the parameter trees of `networks`.

Both name the parts inside of a module as `networks.ncsnpp` does. At the top level score_sde has the
same names, but for the DDPM network's blocks; score_sde_pytorch numbers the modules in the
order in which they run.
"""

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde import networks
from scoresde.pretrained.weights import Path, fit, flatten
from scoresde.registry import lookup

RENAMED = {"ResnetBlockDDPM": "ResnetBlockDDPMpp", "AttnBlock": "AttnBlockpp"}
"""score_sde's module classes that have another name here."""


def network_of(reference_config: Mapping[str, Any]) -> networks.Network:
    """The network that a score_sde configuration describes.

    Args:
        reference_config: nested mapping with the reference's own keys: `model`, `data`.

    Raises:
        UsageError: an unknown network, or options that it refuses.
    """
    model = dict(reference_config["model"])
    factory = lookup("network", networks.NETWORKS, model["name"])
    # Configurations carry keys of other networks along, which the one they name does not read.
    options = {key: model[key] for key in inspect.signature(factory).parameters if key in model}
    return factory(**options, centered=reference_config["data"]["centered"])


def image_shape_of(reference_config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(height, width, channels) of a score_sde configuration's images."""
    data = reference_config["data"]
    return (data["image_size"], data["image_size"], data["num_channels"])


def params_from_jax(tree: Mapping[str, Any], reference_config: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters from a tree of score_sde's.

    Args:
        tree: the reference's parameters, as nested mappings of arrays.
        reference_config: see `network_of`.

    Raises:
        UsageError: the tree does not fit the configuration.
    """
    weights = {}
    for (module, *inner), value in flatten(tree).items():
        cls, _, number = module.rpartition("_")
        weights[(f"{RENAMED.get(cls, cls)}_{number}", *inner)] = value
    return fit(weights, network_of(reference_config), image_shape_of(reference_config))


def params_from_pytorch(
    state_dict: Mapping[str, Any], reference_config: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters from a state dict of score_sde_pytorch's.

    Args:
        state_dict: arrays named `all_modules.{i}. ...`, with or without `module.` before.
        reference_config: see `network_of`.

    Raises:
        UsageError: the state dict does not fit the configuration.
    """
    network, image_shape = network_of(reference_config), image_shape_of(reference_config)
    entries = {}
    for name, value in state_dict.items():
        prefix, *inner = name.removeprefix("module.").split(".")
        if prefix == "all_modules":
            entries[(int(inner[0]), *inner[1:])] = np.asarray(value)
    # Modules without weights have a number there, but no name here.
    numbers = sorted({path[0] for path in entries})
    names = dict(zip(numbers, network.parameter_shapes(image_shape)))
    weights = dict(
        _from_pytorch((names.get(number, f"all_modules.{number}"), *inner), value)
        for (number, *inner), value in entries.items()
    )
    return fit(weights, network, image_shape)


def _from_pytorch(path: Path, value: np.ndarray) -> tuple[Path, np.ndarray]:
    """A weight in Flax's layout under Flax's name."""
    *modules, leaf = path
    if leaf != "weight":  # biases, and NIN's and the Fourier projection's own arrays
        return path, value
    if value.ndim == 1:
        return (*modules, "scale"), value
    name = "weight" if modules[-1].startswith("Conv2d") else "kernel"
    # Convolutions: [out, in, height, width] -> [height, width, in, out]; linear maps transposed.
    return (*modules, name), value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T
