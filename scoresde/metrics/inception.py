"""Features of the Inception-v3 by which images are evaluated (FID, inception score, KID).

    params = inception.load(inception.weights())
    found = inception.features(params, images)      # images: uint8, [n, height, width, 3]
    found["2048"], found["logits_unbiased"]

The numbers are those of torch-fidelity, clean-fid and pytorch-fid, which resize differently:

    "tf1"          TensorFlow 1's bilinear, (x - 128) / 128: the FID of most papers
    "clean"        antialiased bicubic, (x - 128) / 128: clean-fid's
    "pytorch-fid"  bilinear between the centers of pixels, 2 x / 255 - 1

`networks.inception` is the network.
"""

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from scoresde.metrics import resize as resizes
from scoresde.metrics.state_dicts import checked
from scoresde.metrics.weight_files import WeightFile
from scoresde.networks.inception import InceptionV3
from scoresde.pretrained import array_file
from scoresde.registry import UsageError, member, shown

FILE = WeightFile(
    name="pt_inception-2015-12-05-6726825d.pth",
    also=("weights-inception-2015-12-05-6726825d.pth",),
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    size=95_628_359,
    variable="SCORESDE_INCEPTION",
)
"""The published weights, which pytorch-fid and torch-fidelity offer under two names."""

EPSILON = 1e-3
"""Added to the variances of batch normalization."""

RESIZES = {
    "tf1": (resizes.tf1, 128.0, 128.0),
    "clean": (resizes.clean, 128.0, 128.0),
    "pytorch-fid": (resizes.pytorch_fid, 127.5, 127.5),
}
"""What is done to images by name: a resize, then (x - the second) / the third."""

_NETWORK = InceptionV3()
_IMAGE = jax.ShapeDtypeStruct((1, 299, 299, 3), np.float32)


def weights(path: str | os.PathLike | None = None) -> pathlib.Path:
    """Where the file of weights is; it is downloaded where it is nowhere. See `WeightFile.find`."""
    return FILE.find(path)


def shapes() -> dict[str, tuple[int, ...]]:
    """The names of the published file, and the shapes of its arrays."""
    tree = jax.eval_shape(_NETWORK.init, jax.random.key(0), _IMAGE)["params"]
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        *layers, last = (part.key for part in path)
        name, shape = ".".join(layers), leaf.shape
        if last == "kernel":
            found[f"{name}.conv.weight"] = (shape[3], shape[2], *shape[:2])
            for statistic in ("weight", "bias", "running_mean", "running_var"):
                found[f"{name}.bn.{statistic}"] = shape[3:]
        elif last == "fc":
            found |= {"fc.weight": shape[::-1], "fc.bias": shape[1:]}
    return found


def load(source: str | os.PathLike | Mapping[str, Any]) -> dict[str, Any]:
    """The network's parameters, of the published weights.

    Args:
        source: the file, as `weights()` finds it, or another that holds the same names (PyTorch's,
            of any version, .npz or .safetensors); or arrays by those names.

    Returns:
        Kernels [height, width, inputs, outputs] and biases, of which batch normalization is a
        part, by the names of their layers.

    Raises:
        UsageError: no such file, a damaged one, or one of other weights; a file whose name says
            that it is the published one must be so to the bit.
    """
    if isinstance(source, str | os.PathLike):
        FILE.check_if_named_so(source)
        source = array_file.read(source)
    hint = "Those of torchvision's Inception-v3 are others; see metrics.inception.weights."
    found = checked("FID's Inception-v3", source, shapes(), ("num_batches_tracked",), hint)
    params: dict[str, Any] = {"fc": jnp.asarray(found["fc.weight"].T)}
    for name in found:
        if name.endswith(".conv.weight"):
            layer = name.removesuffix(".conv.weight")
            *block, last = layer.split(".")
            node = params.setdefault(block[0], {}) if block else params
            node[last] = _folded(found, layer)
    return params


def _folded(found: Mapping[str, np.ndarray], layer: str) -> dict[str, jax.Array]:
    """A convolution and its batch normalization, gamma (x - mean) / sqrt(variance + e) + beta."""
    kernel, gamma, beta, mean, variance = (
        found[f"{layer}.{name}"].astype(np.float64)
        for name in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    kernel = kernel.transpose(2, 3, 1, 0) * scale
    arrays = {"kernel": kernel, "bias": beta - mean * scale}
    return {name: jnp.asarray(array.astype(np.float32)) for name, array in arrays.items()}


def features(params: Mapping[str, Any], images: Any, resize: str = "tf1") -> dict[str, jax.Array]:
    """What the network makes of images, on the device.

    Compiled once for a shape of images (the resize), and for a number of them (the network).

    Args:
        params: as `load` gives them.
        images: uint8, [n, height, width, 3], or with one channel, which is repeated; an array of
            NumPy's or JAX's, which may be split over devices.
        resize: a key of `RESIZES`, the program whose features these are to be.

    Returns:
        "64", "192", "768", "2048" (pool_3), [n, that many], and "logits_unbiased", [n, 1008], in
        float32.

    Raises:
        UsageError: images of another type or shape, an unknown resize, or no parameters.
    """
    function, offset, scale = member("resize", RESIZES, resize)
    if not isinstance(params, Mapping) or not isinstance(params.get("Conv2d_1a_3x3"), Mapping):
        raise UsageError(f"The parameters must be those of inception.load, not {shown(params)}.")
    return _network(params, function(images), offset, scale)


@jax.jit
def _network(params, x, offset, scale):
    return _NETWORK.apply({"params": params}, (x - offset) / scale)
