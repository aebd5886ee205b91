"""Checkpoints of improved-diffusion and guided-diffusion: U-Nets and classifiers.

Nichol and Dhariwal 2021 (arXiv:2102.09672), Dhariwal and Nichol 2021 (arXiv:2105.05233). Both
name modules by their place (`input_blocks.4.0`); here they are numbered by kind. What both have in
common is the order in which they run, and the places tell it.

Queries, keys and values are one convolution there, whose channels are in one of two orders: (head,
kind, channel), the legacy one, or (kind, head, channel). A file does not say which; of the released
models, the one of ImageNet at 64x64 has the new one.
"""

import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoresde import networks
from scoresde.networks.adm_trunk import TrunkADM
from scoresde.pretrained import averages
from scoresde.pretrained.model import Pretrained
from scoresde.pretrained.openai_flags import NUM_CLASSES, read_flags
from scoresde.pretrained.weights import Checkpoint, Path, array, fit
from scoresde.pretrained.wrappers import Naming
from scoresde.registry import UsageError

NAMING = Naming(
    project="OpenAI",
    example="input_blocks.0.0.weight",
    own=re.compile(
        r"(?:^|(?<=\.))(?:(?:input|output)_blocks\.\d+\.\d+\.|middle_block\.\d+\."
        r"|time_embed\.\d+\.|label_emb\.|out\.\d+\.)"
    ),
    dotless=re.compile(
        r"(?:(?:input|output)_blocks\d|middle_block\d|time_embed\d|label_emb|out\d)[A-Za-z0-9_]+$"
    ),
    untrained=re.compile(r"$^"),  # nothing
    buffers=re.compile(r"$^"),
)

EMBEDDINGS = {
    "time_embed.0": ("Dense_0",),
    "time_embed.2": ("Dense_1",),
    "label_emb": ("class_embedding", "Dense_0"),
}

SECTIONS = ("input_blocks", "middle_block", "output_blocks", "out")
"""In the order in which they run."""

MODULE = re.compile(
    r"(?:(?:input|output)_blocks\.\d+\.\d+|middle_block\.\d+|time_embed\.\d+|label_emb|out\.\d+)"
    r"(?=\.)"
)

INNER = {
    "in_layers.0": "GroupNorm_0",
    "in_layers.2": "Conv_0",
    "emb_layers.1": "Dense_0",
    "out_layers.0": "GroupNorm_1",
    "out_layers.3": "Conv_1",
    "skip_connection": "Conv_2",
    "norm": "GroupNorm_0",
    "proj_out": "NIN_3",
    "op": "",
    "conv": "",
    "qkv_proj": "Dense_0",
    "c_proj": "Dense_1",
}
"""Parts of residual blocks, attentions, resamplings (a module of its own here) and of the pool."""

KINDS = {
    "in_layers.0.weight": "ResnetBlockADM",
    "qkv.weight": "AttnBlockpp",
    "positional_embedding": "AttentionPool",
}
"""Classes here by an array that a module there has."""


def load_openai(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any],
    flags: Mapping[str, Any],
    *,
    num_classes: int = NUM_CLASSES,
    raw: bool = False,
) -> Pretrained:
    """A U-Net, a super-resolution U-Net or a classifier.

    Args:
        path_or_state_dict: a .pt file, or the state dict in it.
        flags: those of the published script, by name: {"image_size": 64, "num_channels": 192, ...};
            see `openai_flags.read_flags`.
        num_classes: of a classifier or a class-conditional model.
        raw: of a file with averages as well, whether to take the weights as trained.

    Raises:
        UsageError: an unreadable file, an unknown flag, or weights that do not fit the flags.
    """
    model = read_flags(flags, num_classes)
    weights = read(path_or_state_dict, raw).weights
    shape, order = model.image_shape, model.new_attention_order
    return Pretrained(
        network=model.network,
        params=params_from_openai(weights, model.network, shape, order),
        image_shape=shape,
        prediction=model.prediction,
        sde=model.sde,
    )


def read(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any], raw: bool = False
) -> Checkpoint:
    """The state dict in a file of OpenAI's, or of a training script that wraps one.

    Raises:
        UsageError: a file that is no such checkpoint.
    """
    return averages.load(path_or_state_dict, NAMING, raw=raw)


def params_from_openai(
    state_dict: Mapping[str, Any],
    network: networks.Network,
    image_shape: tuple[int, int, int],
    new_attention_order: bool = False,
) -> dict[str, Any]:
    """Parameters from a state dict of OpenAI's.

    Args:
        state_dict: arrays by their names there.
        network: the network that they are for, one of `openai_unet`'s or `adm_encoder`'s.
        image_shape: (height, width, channels).
        new_attention_order: whether they are of a network with `use_new_attention_order`.

    Raises:
        UsageError: another kind of network, or a state dict that does not fit it.
    """
    trunk = network.module
    if not isinstance(trunk, TrunkADM):
        raise UsageError(
            "The networks of OpenAI's checkpoints are openai_unet, super_resolution_unet and "
            f"adm_encoder; the config's is a {type(trunk).__name__}."
        )
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state_dict.items():
        match = MODULE.match(name)
        module = match[0] if match else name.rpartition(".")[0]
        modules.setdefault(module, {})[name.removeprefix(f"{module}.")] = array(value)

    expected = network.parameter_shapes(image_shape)
    embedded = {path[0] for path in EMBEDDINGS.values()}
    names = [name for name in expected if name not in embedded]
    weights: dict[Path, np.ndarray] = {}
    for module in sorted(modules, key=_position):
        arrays = modules[module]
        prefix = EMBEDDINGS.get(module)
        if prefix is None:
            # A module of another kind is not given a name: the first fault is then the one shown.
            fits = bool(names) and names[0].startswith(_kind(arrays))
            prefix = (names.pop(0) if fits else module,)
        for leaf, value in arrays.items():
            if leaf.startswith("qkv."):
                parts = _in_three(value, trunk, new_attention_order)
                converted = {f"qkv{i}.{leaf[4:]}": part for i, part in enumerate(parts)}
            else:
                converted = {leaf: value}
            for leaf, value in converted.items():
                path, value = _converted(module, leaf, value)
                weights[(*prefix, *path)] = value
    return fit(weights, expected)


def _kind(arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """What the name here of a module with these arrays begins with."""
    for name, kind in KINDS.items():
        if name in arrays:
            return (kind,)
    ndim = next((np.ndim(value) for name, value in arrays.items() if name.endswith("weight")), 0)
    # A convolution of one pixel may be a matrix here.
    return {1: ("GroupNorm",), 2: ("Dense",), 4: ("Conv", "Dense")}.get(ndim, ())


def _position(module: str) -> tuple:
    """Sorts modules by the order in which they run."""
    section, *numbers = module.split(".")
    if section in SECTIONS and MODULE.match(f"{module}."):
        return (SECTIONS.index(section), *map(int, numbers))
    return (-1,) if module in EMBEDDINGS else (len(SECTIONS),)


def _in_three(
    value: np.ndarray, trunk: TrunkADM, new_attention_order: bool
) -> Sequence[np.ndarray]:
    """The parts of queries, keys and values of a map's [3 channels, ...] to all three."""
    channels = len(value) // 3
    if new_attention_order:
        return np.split(value, 3)
    parts = value.reshape(trunk.heads(channels), 3, -1, *value.shape[1:])
    return [part.reshape(channels, *value.shape[1:]) for part in np.moveaxis(parts, 1, 0)]


def _converted(module: str, leaf: str, value: np.ndarray) -> tuple[Path, np.ndarray]:
    """An array's path within its module here, and the array in the layout of here."""
    inner, _, kind = leaf.rpartition(".")
    name = f"NIN_{inner[3:]}" if inner.startswith("qkv") and inner[3:].isdigit() else inner
    name = INNER.get(name, name)
    path = (name,) if name else ()
    matrix = "NIN" in name or module.startswith("out.3")
    if kind == "bias":
        return (*path, "b" if "NIN" in name else "bias"), value
    if kind == "positional_embedding":
        return (kind,), value.T
    if kind != "weight":
        return (*path, kind), value
    if value.ndim == 1:
        return (*path, "scale"), value
    if module == "label_emb":  # a row a class
        return ("kernel",), value
    if module == "time_embed.0":  # the waves are [cos, sin] there
        value = np.roll(value, value.shape[1] // 2, axis=1)
    if value.ndim == 4 and not matrix:
        return (*path, "kernel"), value.transpose(2, 3, 1, 0)
    return (*path, "W" if "NIN" in name else "kernel"), value.reshape(value.shape[:2]).T
