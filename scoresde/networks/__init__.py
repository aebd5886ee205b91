"""Backbones: the only place where Flax is imported.

Everywhere else a network is its pure `apply(params, x, noise_condition, labels, train, rng)`.
"""

from typing import Any

from scoresde.networks.ncsnpp import ncsnpp
from scoresde.networks.network import Network
from scoresde.registry import make

NETWORKS = {"ncsnpp": ncsnpp}
"""Network factories by name; `package.module:Name` reaches one's own."""


def get(name: str, **options: Any) -> Network:
    """The network called `name`, built with `options`.

    Raises:
        UsageError: unknown name or option, or a value out of range.
    """
    return make("network", NETWORKS, name, **options)


__all__ = ["NETWORKS", "Network", "get"]
