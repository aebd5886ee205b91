"""Checkpoints of EDM (Karras et al. 2022, arXiv:2206.00364).

EDM names modules by their place (`enc.16x16_block0`); here they are numbered by kind. What both
have in common is the order in which modules run, and EDM's names tell it.
"""

import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scoresde import networks
from scoresde.pretrained import averages
from scoresde.pretrained.edm_precondition import PRECONDITIONS, name_of, prediction_of
from scoresde.pretrained.model import Pretrained
from scoresde.pretrained.weights import Checkpoint, Path, array, entry, fit
from scoresde.pretrained.wrappers import Naming
from scoresde.registry import UsageError
from scoresde.sdes import EDM

MODEL_TYPES = {"SongUNet": "song_unet", "DhariwalUNet": "adm"}
"""EDM's architectures by the names of `networks`."""

OUTSIDE = (
    *("precond", "class_name", "img_resolution", "img_channels", "model_type"),
    *("use_fp16", "sigma_min", "sigma_max", "sigma_data"),
    *("beta_d", "beta_min", "epsilon_t", "C_1", "C_2", "M"),
)
"""Arguments of EDM's preconditioning that do not concern the network inside."""

EMBEDDINGS = {
    "map_noise": ("GaussianFourierProjection_0",),
    "map_layer0": ("Dense_0",),
    "map_layer1": ("Dense_1",),
    "map_label": ("class_embedding", "Dense_0"),
    "map_augment": ("augment_embedding", "Dense_0"),
}
COSINES_FIRST = {"map_layer0": 1, "map_augment": 0}
"""The axes of ADM's weights along which its noise embedding has the cosines before the sines."""

ORDER = {
    "enc": ("conv", "down", "aux_down", "aux_skip", "aux_residual", "block"),
    "dec": ("in", "up", "block", "aux_up", "aux_norm", "aux_conv"),
}
"""Parts of a level in the order in which they run."""

NAMING = Naming(
    project="EDM",
    example="enc.32x32_conv.weight",
    own=re.compile(
        r"(?:^|(?<=\.))(?:(?:enc|dec)\.\d+x\d+_"
        r"|map_(?:noise|layer0|layer1|label|augment)\.|out_(?:norm|conv)\.)"
    ),
    dotless=re.compile(
        r"(?:(?:enc|dec)\d+x\d+_|map_(?:noise|layer0|layer1|label|augment)|out_(?:norm|conv))"
        r"[A-Za-z0-9_]+$"
    ),
    untrained=re.compile(r"(^|\.)(u|freqs|resample_filter)$"),
    buffers=re.compile(r"(^|\.)(u|freqs|resample_filter)$"),
)

OUTPUT = ("out_norm", "out_conv")
"""ADM's last layers."""

INNER = {
    "norm0": "GroupNorm_0",
    "conv0": "Conv_0",
    "affine": "Dense_0",
    "norm1": "GroupNorm_1",
    "conv1": "Conv_1",
    "skip": "Conv_2",
}
"""Parts of a residual block."""


def network_of(network_kwargs: Mapping[str, Any]) -> networks.Network:
    """The network inside of the preconditioning that EDM built from these arguments.

    Args:
        network_kwargs: `model_type` ("SongUNet" or "DhariwalUNet"; if it is not given, what the
            preconditioning builds without one) and its options.

    Raises:
        UsageError: an unknown model type, or options that it refuses.
    """
    precondition = PRECONDITIONS.get(name_of(network_kwargs), PRECONDITIONS["EDMPrecond"])
    model_type = network_kwargs.get("model_type", precondition.model_type)
    if model_type not in MODEL_TYPES:
        raise UsageError(f"Unknown EDM model_type {model_type!r}. Known: {', '.join(MODEL_TYPES)}.")
    options = {k: v for k, v in network_kwargs.items() if k not in OUTSIDE}
    return networks.get(MODEL_TYPES[model_type], **options)


def image_shape_of(network_kwargs: Mapping[str, Any]) -> tuple[int, int, int]:
    """(height, width, channels) of the images, or latents, that the network was built for."""
    size = entry(network_kwargs, "img_resolution")
    return (size, size, entry(network_kwargs, "img_channels"))


def load_edm(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any], network_kwargs: Mapping[str, Any]
) -> Pretrained:
    """A network of EDM's: the F inside of the preconditioning.

    Args:
        path_or_state_dict: arrays by EDM's names, or a file of them: .npz, .safetensors or a state
            dict in .pth. The .pkl files of the release are programs; the message that refuses them
            says how to export their arrays.
        network_kwargs: the arguments that EDM built the network from: `precond`, `img_resolution`,
            `img_channels`, `label_dim`, `model_type` and the model's own.

    Raises:
        UsageError: an unreadable file, or weights that do not fit the arguments.
    """
    network, image_shape = network_of(network_kwargs), image_shape_of(network_kwargs)
    return Pretrained(
        network=network,
        params=params_from_edm(read(path_or_state_dict).weights, network, image_shape),
        image_shape=image_shape,
        prediction=prediction_of(network_kwargs),
        sde=EDM(),
    )


def read(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any], raw: bool = False
) -> Checkpoint:
    """The arrays of `load_edm`'s file.

    Raises:
        UsageError: an unreadable file, or `raw`: EDM keeps its moving averages alone.
    """
    if raw:
        raise UsageError("EDM's files hold only the moving average of the weights; no --raw.")
    return averages.load(path_or_state_dict, NAMING, raw=False)._replace(averaged=True)


def params_from_edm(
    state_dict: Mapping[str, Any], network: networks.Network, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Parameters from a state dict of EDM's.

    Args:
        state_dict: arrays by EDM's names, with the preconditioning's `model.` before or without.
        network: the network that they are for.
        image_shape: (height, width, channels).

    Raises:
        UsageError: the state dict does not fit the network.
    """
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state_dict.items():
        name = name.removeprefix("model.")
        if name == "u" or name.endswith("resample_filter"):  # fixed by the options
            continue
        # Embeddings and the last layers have one name, the others are enc.* or dec.*.
        module, _, leaf = name.partition(".")
        if module in ORDER:
            part, _, leaf = leaf.partition(".")
            module = f"{module}.{part}"
        value = array(value)
        if module.endswith(("out_conv", "aux_conv")) and value.shape[:1] == (2 * image_shape[-1],):
            value = value[: image_shape[-1]]  # iDDPM's second half, variances, EDM leaves unused
        modules.setdefault(module, {})[leaf] = value

    expected = network.parameter_shapes(image_shape)
    is_adm = "ResnetBlockADM_0" in expected
    embedded = {path[0] for path in EMBEDDINGS.values()}
    names = (name for name in expected if name not in embedded)
    weights: dict[Path, np.ndarray] = {}
    for module in sorted(modules, key=_position):
        arrays = modules[module]
        if module in EMBEDDINGS:
            prefix: Path = EMBEDDINGS[module]
            weight = arrays.get("weight")
            if module in COSINES_FIRST and is_adm and weight is not None and weight.ndim == 2:
                axis = COSINES_FIRST[module]
                arrays["weight"] = np.roll(weight, weight.shape[axis] // 2, axis)
        else:
            prefix = (next(names, module),)
        if module.endswith("_aux_residual"):
            prefix = (*prefix, "Conv2d_0")
        elif module.endswith("_aux_skip"):
            prefix = (*prefix, "Conv_0")
        attention = (next(names, module),) if "qkv.weight" in arrays else ()
        for leaf, value in arrays.items():
            for path, converted in _convert(leaf, value, prefix, attention):
                weights[path] = converted
    return fit(weights, expected)


def _position(module: str) -> tuple:
    """Sorts modules by the order in which they run."""
    if module in EMBEDDINGS:
        return (0,)
    match = re.fullmatch(r"(enc|dec)\.(\d+)x\d+_([a-z_]+)(\d*)", module)
    if match is None or match[3] not in ORDER[match[1]]:
        return (3, OUTPUT.index(module) if module in OUTPUT else len(OUTPUT))
    section, size, kind, number = match.groups()
    rank = (ORDER[section].index(kind), int(number or 0))
    return (1, -int(size), *rank) if section == "enc" else (2, int(size), *rank)


def _convert(
    leaf: str, value: np.ndarray, prefix: Path, attention: Path
) -> Iterator[tuple[Path, np.ndarray]]:
    """The weights here that EDM's `leaf` of one module holds, by their paths."""
    *inner, kind = leaf.split(".")
    part = inner[0] if inner else ""
    if part == "qkv":
        # Queries, keys and values alternate along the output channels.
        name = "b" if kind == "bias" else "W"
        for i in range(3):
            yield (*attention, f"NIN_{i}", name), _matrix(value[i::3])
    elif part == "proj":
        yield (*attention, "NIN_3", "b" if kind == "bias" else "W"), _matrix(value)
    elif part == "norm2":
        yield (*attention, "GroupNorm_0", "bias" if kind == "bias" else "scale"), value
    else:
        path = (*prefix, *(INNER.get(name, name) for name in inner))
        if kind == "freqs":
            yield (*path, "W"), value
        elif kind != "weight":
            yield (*path, kind), value
        elif value.ndim == 1:
            yield (*path, "scale"), value
        elif value.ndim == 4:
            name = "weight" if path[-1] == "Conv2d_0" else "kernel"
            yield (*path, name), value.transpose(2, 3, 1, 0)
        else:
            yield (*path, "kernel"), value.T


def _matrix(value: np.ndarray) -> np.ndarray:
    """A 1x1 convolution's weight [out, in, 1, 1] as [in, out]; a bias as it is."""
    return value[:, :, 0, 0].T if value.ndim == 4 else value
