"""DINOv2's weights by the names of its two layouts, as parameters of `VisionTransformer`."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from scoresde.metrics.state_dicts import checked
from scoresde.registry import UsageError, shown

NETWORK = "DINOv2"
IGNORED = ("mask_token",)
"""The token of hidden patches, which training alone needs."""

ORIGINAL = {
    "cls": "cls_token",
    "positions": "pos_embed",
    "patch": "patch_embed.proj",
    "block": "blocks.{}.",
    "qkv": ("attn.qkv",),
    "proj": "attn.proj",
    "ls": "ls{}.gamma",
    "norm": "norm",
}
"""The names of facebookresearch/dinov2."""

HUGGING_FACE = {
    "cls": "embeddings.cls_token",
    "positions": "embeddings.position_embeddings",
    "patch": "embeddings.patch_embeddings.projection",
    "block": "encoder.layer.{}.",
    "qkv": tuple(f"attention.attention.{name}" for name in ("query", "key", "value")),
    "proj": "attention.output.dense",
    "ls": "layer_scale{}.lambda1",
    "norm": "layernorm",
}
"""Those of transformers' files."""


def to_params(state_dict: Any) -> dict[str, Any]:
    """Parameters, of arrays by either names.

    Args:
        state_dict: the weights of a network of any size, without registers.

    Raises:
        UsageError: they are not complete, of another network, or of shapes that don't fit.
    """
    if not isinstance(state_dict, Mapping):
        raise UsageError(f"The weights of DINOv2 are arrays by name, not {shown(state_dict)}.")
    # Both may be a part of a larger model, as Hugging Face's classifiers have them.
    prefix = next((p for p in ("dinov2.", "backbone.") if _names(state_dict, p)), "")
    state_dict = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
    names = _names(state_dict)
    if names is None:
        raise UsageError(
            f"These are not the weights of DINOv2: there is no {ORIGINAL['cls']} or "
            f"{HUGGING_FACE['cls']} among them."
        )
    found = checked(NETWORK, state_dict, _shapes(state_dict, names), IGNORED, _hint(state_dict))
    return _tree(found, names)


def _names(state_dict: Mapping[str, Any], prefix: str = "") -> Mapping[str, Any] | None:
    """The layout of some weights."""
    layouts = (ORIGINAL, HUGGING_FACE)
    return next((names for names in layouts if prefix + names["cls"] in state_dict), None)


def _hint(state_dict: Mapping[str, Any]) -> str:
    if any("register_tokens" in name for name in state_dict):
        return "Networks with registers are others; take the weights without."
    if any("w12" in name or "weights_in" in name for name in state_dict):
        return "ViT-g/14 has another MLP; take ViT-S, ViT-B or ViT-L."
    return ""


def _depth(state_dict: Mapping[str, Any], names: Mapping[str, Any]) -> int:
    start = names["block"].partition("{")[0]
    numbers = (
        key.removeprefix(start).partition(".")[0] for key in state_dict if key.startswith(start)
    )
    return max((int(number) + 1 for number in numbers if number.isdigit()), default=1)


def _shapes(state_dict, names) -> dict[str, tuple[int, ...]]:
    """The shape of every name, by those of the class token, the positions, patches and the MLP."""
    width = (np.shape(state_dict[names["cls"]]) or (0,))[-1]
    positions = np.shape(state_dict.get(names["positions"]))
    grid = math.isqrt(max(positions[1] - 1, 1)) if len(positions) == 3 else 1
    patch = (np.shape(state_dict.get(f"{names['patch']}.weight")) or (14,))[-1]
    inner = (np.shape(state_dict.get(f"{names['block'].format(0)}mlp.fc1.bias")) or (0,))[0]
    layers = {names["patch"]: (width, 3, patch, patch), names["norm"]: (width,)}
    shapes = {names["cls"]: (1, 1, width), names["positions"]: (1, grid**2 + 1, width)}
    for i in range(_depth(state_dict, names)):
        block = names["block"].format(i)
        part = 3 * width // len(names["qkv"])
        layers |= {f"{block}{name}": (part, width) for name in names["qkv"]}
        layers |= {f"{block}norm1": (width,), f"{block}norm2": (width,)}
        layers |= {f"{block}{names['proj']}": (width, width)}
        layers |= {f"{block}mlp.fc1": (inner, width), f"{block}mlp.fc2": (width, inner)}
        shapes |= {f"{block}{names['ls'].format(k)}": (width,) for k in (1, 2)}
    for name, shape in layers.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def _tree(found: Mapping[str, np.ndarray], names: Mapping[str, Any]) -> dict[str, Any]:
    def linear(*layers):
        weight, bias = (
            np.concatenate([found[f"{name}.{part}"] for name in layers])
            for part in ("weight", "bias")
        )
        return {"kernel": weight.T, "bias": bias}

    def norm(name):
        return {"scale": found[f"{name}.weight"], "bias": found[f"{name}.bias"]}

    positions = found[names["positions"]][0]
    width, grid = positions.shape[1], math.isqrt(len(positions) - 1)
    patch = found[f"{names['patch']}.weight"]
    tree = {
        "cls_token": found[names["cls"]][0, 0],
        "cls_position": positions[0],
        "positions": positions[1:].reshape(grid, grid, width),
        "patch_embed": {
            "kernel": patch.transpose(2, 3, 1, 0).reshape(-1, width),
            "bias": found[f"{names['patch']}.bias"],
        },
        "norm": norm(names["norm"]),
    }
    for i in range(_depth(found, names)):
        block = names["block"].format(i)
        tree[f"blocks_{i}"] = {
            "norm1": norm(f"{block}norm1"),
            "norm2": norm(f"{block}norm2"),
            "attn": {
                "qkv": linear(*(block + name for name in names["qkv"])),
                "proj": linear(block + names["proj"]),
            },
            "fc1": linear(f"{block}mlp.fc1"),
            "fc2": linear(f"{block}mlp.fc2"),
            **{f"ls{k}": found[block + names["ls"].format(k)] for k in (1, 2)},
        }
    return tree
