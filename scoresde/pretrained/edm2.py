"""Checkpoints of EDM2 (Karras et al. 2024, arXiv:2312.02696).

Modules have the same places here and there: `unet.enc.16x16_block0.conv_res0.weight` there is
`enc_16x16_block0/conv_res0/kernel` here. Only shapes differ.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde import networks
from scoresde.predictions import EDM as EDMPrediction
from scoresde.pretrained import averages
from scoresde.pretrained.edm import image_shape_of
from scoresde.pretrained.model import Pretrained
from scoresde.pretrained.weights import Checkpoint, Path, array, fit
from scoresde.pretrained.wrappers import Naming
from scoresde.registry import UsageError
from scoresde.sdes import EDM

OUTSIDE = ("class_name", "model_type", "img_resolution", "img_channels", "use_fp16", "sigma_data")
"""Arguments of EDM2's preconditioning that do not concern the network inside."""

RENAMED = {
    "channel_mult_noise": None,
    "channel_mult_emb": None,
    "logvar_channels": "log_variance_features",
}
"""Its arguments that have another name here; None for those of which only None is known."""

NAMING = Naming(
    project="EDM2",
    example="unet.enc.64x64_conv.weight",
    own=re.compile(
        r"(?:^|(?<=\.))(?:unet\.(?:enc|dec|emb_fourier|emb_noise|emb_label|out_conv)\."
        r"|unet\.out_gain$|logvar_(?:fourier|linear)\.)"
    ),
    dotless=re.compile(r"(?:unet(?:enc|dec|emb|out)|logvar_)[A-Za-z0-9_]+$"),
    untrained=re.compile(r"(^|\.)(freqs|phases)$"),
    buffers=re.compile(r"(^|\.)(freqs|phases)$"),
)

LEAVES = {"weight": "kernel", "freqs": "frequencies", "phases": "phases"}
"""The last parts of names."""


def network_of(network_kwargs: Mapping[str, Any]) -> networks.Network:
    """The network inside of the preconditioning that EDM2 built from these arguments.

    Raises:
        UsageError: options that it refuses.
    """
    given = {name: value for name, value in network_kwargs.items() if name not in OUTSIDE}
    for name, here in RENAMED.items():
        value = given.pop(name, None)
        if here is not None and value is not None:
            given[here] = value
        elif value is not None:
            raise UsageError(f"EDM2's {name} is not known here, but as None; got {value!r}.")
    return networks.get("edm2", **given)


def load_edm2(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any], network_kwargs: Mapping[str, Any]
) -> Pretrained:
    """A network of EDM2's: F and u, inside of the preconditioning.

    Args:
        path_or_state_dict: arrays by EDM2's names, or a file of them: .npz, .safetensors or a state
            dict in .pth. The .pkl files of the release are programs; the message that refuses them
            says how to export their arrays.
        network_kwargs: the arguments that EDM2 built the network from: `img_resolution`,
            `img_channels`, `label_dim`, `model_channels` and the others.

    Raises:
        UsageError: an unreadable file, or weights that do not fit the arguments.
    """
    network, image_shape = network_of(network_kwargs), image_shape_of(network_kwargs)
    return Pretrained(
        network=network,
        params=params_from_edm2(read(path_or_state_dict).weights, network, image_shape),
        image_shape=image_shape,
        prediction=EDMPrediction(sigma_data=network_kwargs.get("sigma_data", 0.5)),
        sde=EDM(),
    )


def read(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any], raw: bool = False
) -> Checkpoint:
    """The arrays of `load_edm2`'s file.

    Raises:
        UsageError: an unreadable file, or `raw`: EDM2's files hold averages alone.
    """
    if raw:
        raise UsageError("EDM2's files hold only averages of the weights; no --raw.")
    return averages.load(path_or_state_dict, NAMING, raw=False)._replace(averaged=True)


def params_from_edm2(
    state_dict: Mapping[str, Any], network: networks.Network, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Parameters from a state dict of EDM2's.

    Args:
        state_dict: arrays by EDM2's names.
        network: the network that they are for.
        image_shape: (height, width, channels).

    Raises:
        UsageError: the state dict does not fit the network.
    """
    weights = {_path(name): _converted(array(value)) for name, value in state_dict.items()}
    return fit(weights, network.parameter_shapes(image_shape))


def _path(name: str) -> Path:
    """The place here of an array there."""
    if name.startswith("logvar_"):
        head, _, name = name.removeprefix("logvar_").partition(".")
        return ("log_variance_head", head, LEAVES.get(name, name))
    place, _, last = name.removeprefix("unet.").rpartition(".")
    parts = re.sub(r"^(enc|dec)\.", r"\1_", place).split(".") if place else []
    return (*parts, LEAVES.get(last, last))


def _converted(value: np.ndarray) -> np.ndarray:
    """A convolution's weight [out, in, height, width], or a linear map's [out, in], as here."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    return value.T
