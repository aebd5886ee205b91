"""Checkpoints of score_sde (JAX) and score_sde_pytorch (Song et al. 2021, arXiv:2011.13456).

Both name the parts inside of a module as `networks.ncsnpp` does. At the top level score_sde has the
same names, but for the DDPM network's blocks; score_sde_pytorch numbers the modules in the
order in which they run.
"""

import inspect
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scoresde import networks, predictions
from scoresde.pretrained import averages, file_kinds, flax_file
from scoresde.pretrained.model import Pretrained
from scoresde.pretrained.weights import Checkpoint, Path, array, entry, fit, flatten
from scoresde.pretrained.wrappers import Naming
from scoresde.registry import UsageError, member

RENAMED = {
    "ResnetBlockDDPM": "ResnetBlockDDPMpp",
    "AttnBlock": "AttnBlockpp",
    "ConditionalResidualBlock": "ResidualBlock",
    "ConditionalInstanceNorm2dPlus": "InstanceNorm2dPlus",
    **{f"Cond{part}Block": f"{part}Block" for part in ("Refine", "RCU", "MSF", "CRP")},
}
"""score_sde's module classes that have another name here."""

OURS = ("num_classes", "label_dropout", "dtype", "remat", "attention_implementation")
"""Options of our networks that score_sde's do not have, whatever a configuration calls so."""

MODULE = re.compile(r"[A-Za-z]\w*_\d+|sigmas")
"""score_sde's names at the top of a parameter tree."""

NAMING = Naming(
    project="score_sde_pytorch",
    example="all_modules.0.weight",
    own=re.compile(r"(?:^|(?<=\.))all_modules\.\d+\."),
    dotless=re.compile(r"all_modules\d+[A-Za-z][^.]*$"),
    untrained=re.compile(r"^(sigmas|all_modules\.\d+\.W)$"),
    buffers=re.compile(r"^sigmas$"),
)
"""The table of sigmas is a buffer, the Fourier frequencies are a parameter that is not trained."""


def network_of(reference_config: Mapping[str, Any]) -> networks.Network:
    """The network that a score_sde configuration describes.

    Args:
        reference_config: nested mapping with the reference's own keys: `model`, `data`.

    Raises:
        UsageError: an unknown network, or options that it refuses.
    """
    # The originals take names of options in any case.
    model = {
        key: value.lower() if isinstance(value, str) else value
        for key, value in entry(reference_config, "model").items()
    }
    name = entry(reference_config, "model", "name")
    if name == "ncsn" and "num_classes" in model:
        model["num_scales"] = model["num_classes"]  # what its normalizations call noise levels
    if name in ("ncsnv2_64", "ncsnv2_128", "ncsnv2_256"):
        name, model["resolution"] = "ncsnv2", int(name.removeprefix("ncsnv2_"))
    if model.get("interpolation") == "nearest_neighbor":
        model["interpolation"] = "nearest"
    factory = member("network", networks.NETWORKS, name)
    # Configurations carry keys of other networks along, which the one they name does not read.
    known = [key for key in inspect.signature(factory).parameters if key not in OURS]
    options = {key: model[key] for key in known if key in model}
    return factory(**options, centered=entry(reference_config, "data", "centered"))


def image_shape_of(reference_config: Mapping[str, Any]) -> tuple[int, int, int]:
    """(height, width, channels) of a score_sde configuration's images."""
    size = entry(reference_config, "data", "image_size")
    return (size, size, entry(reference_config, "data", "num_channels"))


def prediction_of(reference_config: Mapping[str, Any]) -> predictions.PredictionKind:
    """How the networks of score_sde are fed and read.

    Variance-exploding ones give the score for sigma or, trained on discrete levels, for the
    level's number from the noisiest on; the others give the noise for 999 t or the level's number.
    Without a `training.sde` that says which it is, a network that divides by sigma is of the
    former kind, and so is every NCSN, which knows levels by number only.

    Args:
        reference_config: see `network_of`, with `training.continuous`, or else that is True.
    """
    model, training = reference_config["model"], reference_config.get("training", {})
    by_number = model["name"] == "ncsn" or model["name"].startswith("ncsnv2")
    exploding = model.get("scale_by_sigma", False) or by_number
    sde = str(training.get("sde", "vesde" if exploding else "vpsde")).lower()
    levels = {"num_scales": model.get("num_scales", 1000)}
    if sde == "vesde":
        continuous = training.get("continuous", True) and not by_number
        time_input = (
            predictions.Sigma() if continuous else predictions.Index(**levels, descending=True)
        )
        return predictions.Score(time_input=time_input)
    continuous = training.get("continuous", True) or sde == "subvpsde"
    time_input = predictions.ScaledTime() if continuous else predictions.Index(**levels)
    return predictions.Noise(time_input=time_input)


def load_score_sde(
    path: str | pathlib.Path, reference_config: Mapping[str, Any], *, raw: bool = False
) -> Pretrained:
    """A network from a checkpoint of score_sde's, the whole training state in msgpack.

    Args:
        path: the file, usually named checkpoint_<number>.
        reference_config: the configuration it was trained with, as nested mappings.
        raw: whether to take the weights as trained instead of their exponential moving average.

    Raises:
        UsageError: a file that is no such state, or one that does not fit the configuration.
    """
    return _pretrained(read_jax(path, raw).weights, params_from_jax, reference_config)


def load_score_sde_pytorch(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any],
    reference_config: Mapping[str, Any],
    *,
    raw: bool = False,
) -> Pretrained:
    """A network from a checkpoint of score_sde_pytorch's.

    Args:
        path_or_state_dict: a .pth file, or what it holds: {"model": state dict, "ema": ..., ...},
            or a state dict alone, whose weights are taken as they are; or what another training
            script makes of these (see `wrappers`). Of several sets of weights in a file, one is
            meant by FILE#NAME, by the name that the error gives it.
        reference_config: the configuration it was trained with, as nested mappings.
        raw: whether to take the weights as trained instead of their exponential moving average.

    Raises:
        UsageError: a file that is no such checkpoint, one whose weights could be meant in two
            ways, or one that does not fit the configuration.
    """
    weights = read_pytorch(path_or_state_dict, raw).weights
    return _pretrained(weights, params_from_pytorch, reference_config)


def _pretrained(weights: Any, convert: Callable, reference_config: Mapping[str, Any]) -> Pretrained:
    network, image_shape = network_of(reference_config), image_shape_of(reference_config)
    return Pretrained(
        network=network,
        params=convert(weights, network, image_shape),
        image_shape=image_shape,
        prediction=prediction_of(reference_config),
    )


def read_jax(path: str | pathlib.Path, raw: bool = False) -> Checkpoint:
    """The parameter tree in a checkpoint of score_sde's, or alone in a file; see `load_score_sde`.

    Raises:
        UsageError: a file that is no training state.
    """
    state = flax_file.read(path)
    optimizer, averaged = state.get("optimizer"), not raw
    trained = optimizer.get("target") if isinstance(optimizer, Mapping) else state.get("params")
    tree = trained if raw else state.get("params_ema")
    alone = state["params"] if list(state) == ["params"] else state
    if isinstance(alone, Mapping) and alone and all(MODULE.fullmatch(name) for name in alone):
        tree, averaged = alone, False if raw else None
    if not isinstance(tree, Mapping):
        raise UsageError(
            f"{path} holds no {'optimizer/target' if raw else 'params_ema'}, so it is no training "
            f"state of score_sde; it holds {file_kinds.some(state)}."
        )
    return Checkpoint(tree.get("params", tree), averages.step_of(state), averaged)


def read_pytorch(
    path_or_state_dict: str | pathlib.Path | Mapping[str, Any], raw: bool = False
) -> Checkpoint:
    """The state dict in a checkpoint of score_sde_pytorch's; see `load_score_sde_pytorch`.

    Raises:
        UsageError: a file that is no such checkpoint.
    """
    return averages.load(path_or_state_dict, NAMING, raw=raw)


def params_from_jax(
    tree: Mapping[str, Any], network: networks.Network, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Parameters from a tree of score_sde's.

    Args:
        tree: the reference's parameters, as nested mappings of arrays.
        network: the network that they are for.
        image_shape: (height, width, channels).

    Raises:
        UsageError: the tree does not fit the network.
    """
    weights = {}
    for names, value in flatten(tree).items():
        *modules, leaf = (_renamed(name) for name in names)
        if leaf == "embedding" and np.ndim(value) == 2:
            # NCSN's normalizations have three vectors of each level in one array.
            vectors = np.array_split(np.expand_dims(value, (1, 2)), 3, axis=-1)
            for leaf, vector in zip(("gamma", "alpha", "beta"), vectors):
                weights[(*modules[:-1], leaf)] = vector
        else:
            weights[(*modules, leaf)] = value
    return fit(weights, network.parameter_shapes(image_shape))


def _renamed(name: str) -> str:
    """The name here of a module called `name` there: its class and number."""
    cls, _, number = name.rpartition("_")
    return f"{RENAMED[cls]}_{number}" if cls in RENAMED else name


def params_from_pytorch(
    state_dict: Mapping[str, Any], network: networks.Network, image_shape: tuple[int, int, int]
) -> dict[str, Any]:
    """Parameters from a state dict of score_sde_pytorch's.

    Args:
        state_dict: arrays named `all_modules.{i}. ...`, with or without `module.` before.
        network: the network that they are for.
        image_shape: (height, width, channels).

    Raises:
        UsageError: the state dict does not fit the network.
    """
    expected = network.parameter_shapes(image_shape)
    # Blocks without an embedding carry its layer along, unused.
    unused = set() if any("Dense_0" in module for module in expected.values()) else {"Dense_0"}
    entries, others = {}, {}
    for name, value in state_dict.items():
        name = name.removeprefix("module.")
        match = re.fullmatch(r"all_modules\.(\d+)\.(.+)", name)
        if match is None and name != "sigmas":  # a table that follows from the configuration
            others[(name,)] = value
        elif match is not None and match[2].partition(".")[0] not in unused:
            entries[(int(match[1]), *match[2].split("."))] = array(value)
    # Modules without weights have a number there, but no name here.
    numbers = sorted({path[0] for path in entries})
    names = dict(zip(numbers, expected))
    weights = dict(
        _from_pytorch((names.get(number, f"all_modules.{number}"), *inner), value)
        for (number, *inner), value in entries.items()
    )
    return fit(weights | others, expected)


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
