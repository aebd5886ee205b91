"""Backbones: the only place where Flax is imported.

Everywhere else a network is its pure `apply(params, x, noise_condition, condition, *, train, rng)`.
"""

from typing import Any

from scoresde.networks import adm, ddpm, ncsn, ncsnpp, song_unet
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
}
"""Network factories by name; `package.module:Name` reaches one's own."""

DEQUANTIZERS = {"dequantizer": dequantizer_network}
"""Factories of the flows of variational dequantization."""


def get(name: str, **options: Any) -> Network:
    """The network called `name`, built with `options`.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return make("network", NETWORKS, name, **options)


__all__ = [
    "DEQUANTIZERS",
    "NETWORKS",
    "DequantizerNetwork",
    "Network",
    "Stage",
    "dequantizer_network",
    "get",
    "stages",
]
