"""Features of DINOv2, by which FD-DINOv2 compares images (Stein et al. 2023).

    params = dinov2.load(dinov2.weights())
    found = dinov2.features(params, dinov2.VIT_L14, dinov2.preprocess(images))

The numbers are those of the original code (facebookresearch/dinov2), or of Hugging Face's, which
places the learned positions of patches otherwise; `networks.vision_transformer` is the network.
"""

import functools
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import meshes
from scoresde.metrics import resize
from scoresde.metrics.dinov2_names import to_params
from scoresde.metrics.weight_files import WeightFile
from scoresde.networks.vision_transformer import VisionTransformer
from scoresde.pretrained import array_file
from scoresde.registry import UsageError, member, shown

VIT_L14 = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 518,
    "patch_size": 14,
    "mlp_ratio": 4,
    "layer_norm_eps": 1e-6,
}
"""The network of FD-DINOv2, by the names of Hugging Face's configurations."""

FILE = WeightFile(
    name="dinov2_vitl14_pretrain.pth",
    url="https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",
    size=1_217_500_000,
    variable="SCORESDE_DINOV2",
)
"""The published weights of ViT-L/14 without registers; no hash of them is published."""

PREPROCESSES = {"dgm-eval": resize.pillow, "edm2": resize.bicubic}
"""Resizes to 224x224 by name."""

OFFSETS = {"original": 0.1, "huggingface": 0.0}
"""See `networks.vision_transformer.interpolation`."""

SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Those of ImageNet's channels, in [0, 1]."""


def weights(path: str | os.PathLike | None = None) -> pathlib.Path:
    """Where the file of weights is; it is downloaded where it is nowhere. See `WeightFile.find`."""
    return FILE.find(path)


def preprocess(images: Any, mode: str = "dgm-eval") -> jax.Array:
    """Images as the network takes them: 224x224, with the mean and the deviation of ImageNet's.

    Args:
        images: uint8, [n, height, width, 3], or with one channel, which is repeated.
        mode: "dgm-eval", Pillow's bicubic resize in 8 bits; or "edm2", one without rounding.

    Returns:
        float32, [n, 224, 224, 3].

    Raises:
        UsageError: images of another type or shape, or an unknown mode.
    """
    x = member("preprocessing", PREPROCESSES, mode)(images, SIZE)
    mean, std = (jnp.asarray(value, jnp.float32) for value in (MEAN, STD))
    return (x.astype(jnp.float32) / 255 - mean) / std


def load(source: str | os.PathLike | Mapping[str, Any]) -> dict[str, Any]:
    """The network's parameters, of published weights.

    Args:
        source: a file of PyTorch's, .safetensors or .npz, by the names of the original code or of
            Hugging Face's; or arrays by such names. Of any size, without registers.

    Raises:
        UsageError: no such file, a damaged one, or one of other weights.
    """
    if isinstance(source, str | os.PathLike):
        source = array_file.read(source)
    return jax.tree.map(jnp.asarray, to_params(source))


def features(
    params: Mapping[str, Any],
    config: Mapping[str, Any],
    pixels: Any,
    positions: str = "original",
) -> jax.Array:
    """The class token after the last normalization, on the device; compiled once a shape.

    Args:
        params: as `load` gives them, or what it takes (which is then loaded anew at every call).
        config: the network's sizes, as `VIT_L14`; the other keys of Hugging Face's are not read.
        pixels: normalized as `preprocess` does it, [n, height, width, 3] or [n, 3, height, width],
            of sides that are multiples of the patch.
        positions: for images of another size than the network's own, how positions are
            interpolated: as the "original" code does it, or as "huggingface".

    Returns:
        float32, [n, hidden_size].

    Raises:
        UsageError: weights that are not of this configuration, pixels of another shape, or 8-bit
            images, which are not normalized.
    """
    offset = member("interpolation of positions", OFFSETS, positions)
    if not isinstance(params, Mapping) or "blocks_0" not in params:
        params = load(params)
    network = check(params, config, offset)
    return _class_token(network, params, _channels_last(pixels, network.patch))


def check(
    params: Mapping[str, Any], config: Mapping[str, Any], offset: float = OFFSETS["original"]
) -> VisionTransformer:
    """The network of a configuration, which is that of the parameters.

    Args:
        params: as `load` gives them.
        config: see `features`.
        offset: see `OFFSETS`.

    Raises:
        UsageError: they are of another configuration, or it is of a network that is not known.
    """
    network = _network(config, offset)
    _check_sizes(params, network)
    return network


def _network(config: Mapping[str, Any], offset: float) -> VisionTransformer:
    if not isinstance(config, Mapping):
        raise UsageError(f"The configuration of DINOv2 is a dict, not {shown(config)}.")
    missing = [name for name in VIT_L14 if name not in {"mlp_ratio", "layer_norm_eps", *config}]
    if missing:
        raise UsageError(f"The configuration of DINOv2 has no {', '.join(missing)}.")
    activation = str(config.get("hidden_act", "gelu"))
    if config.get("use_swiglu_ffn") or activation not in ("gelu", "gelu (erf)"):
        raise UsageError("Of DINOv2's networks, those with a GELU can be used, not ViT-g/14.")
    width, heads = config["hidden_size"], config["num_attention_heads"]
    if width % heads:
        raise UsageError(f"{heads} heads cannot share {width} channels equally.")
    return VisionTransformer(
        width=width,
        depth=config["num_hidden_layers"],
        heads=heads,
        patch=config["patch_size"],
        grid=config["image_size"] // config["patch_size"],
        mlp_ratio=config.get("mlp_ratio", 4),
        epsilon=config.get("layer_norm_eps", 1e-6),
        offset=offset,
    )


def _check_sizes(params: Mapping[str, Any], network: VisionTransformer) -> None:
    patches, inner = params["patch_embed"]["kernel"].shape, params["blocks_0"]["fc1"]["bias"]
    found = {
        "hidden_size": patches[1],
        "num_hidden_layers": sum(name.startswith("blocks_") for name in params),
        "patch_size": math.isqrt(patches[0] // 3),
        "positions along a side": len(params["positions"]),
        "mlp channels": len(inner),
    }
    mlp = int(network.mlp_ratio * network.width)
    needed = (network.width, network.depth, network.patch, network.grid, mlp)
    others = [f"{name} {a}, not {b}" for (name, a), b in zip(found.items(), needed) if a != b]
    if others:
        raise UsageError(f"The weights are of another DINOv2 than config: {', '.join(others)}.")


def _channels_last(pixels: Any, patch: int) -> jax.Array:
    """[n, height, width, 3], of either order: no side is 3 pixels long."""
    dtype, shape = getattr(pixels, "dtype", np.dtype("O")), np.shape(pixels)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise UsageError(
            f"Pixels of DINOv2 are real numbers, got {dtype}: dinov2.preprocess makes them of "
            "8-bit images."
        )
    sides = shape[2:] if shape[1:2] == (3,) else shape[1:3]
    if len(shape) != 4 or 3 not in (shape[1], shape[3]) or any(n < 1 or n % patch for n in sides):
        raise UsageError(
            f"Pixels of DINOv2 are [n, height, width, 3] or [n, 3, height, width], with sides that "
            f"are multiples of {patch}, got {list(shape)}."
        )
    x = jnp.asarray(meshes.automatic(pixels), jnp.float32)
    return jnp.moveaxis(x, 1, 3) if shape[1] == 3 else x


@functools.partial(jax.jit, static_argnums=0)
def _class_token(network, params, x):
    return network.apply({"params": params}, x)[:, 0]
