"""Backbones: the only place where Flax is imported.

Everywhere else a network is its pure `apply(params, x, noise_condition, condition, *, train, rng)`.
"""

from typing import Any

from scoresde.networks import (
    adm,
    adm_encoder,
    ddpm,
    edm2,
    ncsn,
    ncsnpp,
    openai_unet,
    song_unet,
    sr3,
    wide_resnet,
)
from scoresde.networks.classifier_network import ClassifierNetwork
from scoresde.networks.conditioned import ConditionedNetwork, conditioned
from scoresde.networks.dequantizer import DequantizerNetwork, dequantizer_network
from scoresde.networks.network import Network
from scoresde.networks.stages import Stage, stages
from scoresde.registry import make

NETWORKS = {
    "ncsnpp": ncsnpp.ncsnpp,
    "ddpm": ddpm.ddpm,
    "ncsn": ncsn.ncsn,
    "ncsnv2": ncsn.ncsnv2,
    "song_unet": song_unet.song_unet,
    "adm": adm.adm,
    "edm2": edm2.edm2,
    "openai_unet": openai_unet.openai_unet,
    "super_resolution_unet": openai_unet.super_resolution_unet,
    "sr3_unet": sr3.sr3_unet,
}
"""Network factories by name; `package.module:Name` reaches one's own."""

CLASSIFIERS = {
    "adm_encoder": adm_encoder.adm_encoder,
    "wide_resnet": wide_resnet.wide_resnet,
}
"""Factories of classifiers of noisy images, which guide."""

DEQUANTIZERS = {"dequantizer": dequantizer_network}
"""Factories of the flows of variational dequantization."""


_BESIDE = ("condition_images", "condition_resize", "condition_known")


def get(name: str, **options: Any) -> Network:
    """The network called `name`, of NETWORKS or CLASSIFIERS, built with `options`.

    Every one that denoises takes the options of `conditioned` too, by which it sees images of the
    condition beside x.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    beside = {key: options.pop(key) for key in _BESIDE if key in options}
    return conditioned(make("network", NETWORKS | CLASSIFIERS, name, **options), **beside)


__all__ = [
    "CLASSIFIERS",
    "DEQUANTIZERS",
    "NETWORKS",
    "ClassifierNetwork",
    "ConditionedNetwork",
    "DequantizerNetwork",
    "Network",
    "Stage",
    "conditioned",
    "dequantizer_network",
    "get",
    "stages",
]
