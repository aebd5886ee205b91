"""Foreign files by the name of their format, for a network that is already known."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from scoresde.networks import Network
from scoresde.pretrained import edm, edm2, openai, score_sde, score_sde_classifier
from scoresde.pretrained.weights import Checkpoint
from scoresde.registry import member


class Format(NamedTuple):
    """One project's files.

    Attributes:
        read: (path, raw) -> Checkpoint.
        convert: (weights, network, image_shape) -> the network's parameters.
    """

    read: Callable[..., Checkpoint]
    convert: Callable[..., dict[str, Any]]


FORMATS = {
    "score_sde": Format(score_sde.read_jax, score_sde.params_from_jax),
    "score_sde_pytorch": Format(score_sde.read_pytorch, score_sde.params_from_pytorch),
    "edm": Format(edm.read, edm.params_from_edm),
    "edm2": Format(edm2.read, edm2.params_from_edm2),
    "openai": Format(openai.read, openai.params_from_openai),
    "openai_new_attention_order": Format(
        openai.read, functools.partial(openai.params_from_openai, new_attention_order=True)
    ),
    "score_sde_classifier": Format(
        score_sde_classifier.read, score_sde_classifier.params_from_score_sde
    ),
}
"""The formats by name."""


def load_params(
    name: str,
    path: str | pathlib.Path,
    network: Network,
    image_shape: tuple[int, int, int],
    *,
    raw: bool = False,
) -> Checkpoint:
    """A network's parameters from a foreign file: `weights` are its parameter tree.

    Args:
        name: the file's format, one of `FORMATS`.
        path: the file; FILE#NAME is one of several sets of weights in it, by the name that the
            error gives it which asks for one.
        network: the network that the file's weights are for.
        image_shape: (height, width, channels).
        raw: whether to take the weights as trained instead of their moving average.

    Raises:
        UsageError: an unknown format, an unreadable file, or weights that do not fit the network;
            what does not is listed.
    """
    read, convert = member("checkpoint format", FORMATS, name)
    checkpoint = read(path, raw)
    return checkpoint._replace(weights=convert(checkpoint.weights, network, image_shape))
