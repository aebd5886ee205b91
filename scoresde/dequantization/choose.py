"""A dequantiser by name, and the range that its bins fill."""

from collections.abc import Callable
from typing import Any

from scoresde.dequantization.flow import Flow
from scoresde.dequantization.truncated_normal import TruncatedNormal
from scoresde.dequantization.uniform import Uniform
from scoresde.registry import make
from scoresde.sdes import SDE

DEQUANTIZERS = {
    "uniform": Uniform,
    "truncated_normal": TruncatedNormal,
    "flow": Flow,
}
"""Dequantisers by name. Each is a JAX pytree."""


def choose(
    name: str,
    *,
    bins: int,
    data_range: tuple[float, float],
    level_range: tuple[float, float],
    sde: SDE,
    t_min: float | None,
    std: float | None = None,
    network: Any = None,
    params: Any = None,
) -> tuple[Callable, tuple[float, float]]:
    """A dequantiser, and the range that its bins fill.

    Published protocols fill data_range, as "uniform" and "flow" do here. The bins of
    "truncated_normal" are centred on the values that the network was trained on, around which its
    noise is.

    Args:
        name: of `DEQUANTIZERS`, or `package.module:Name`.
        bins: number of grey levels.
        data_range: what the network works in.
        level_range: the values of the first and the last level that it was trained on.
        sde: the process.
        t_min: where the likelihood starts; the process's own if None.
        std: of "truncated_normal", in the units of data_range; the process's at t_min if None.
        network: of "flow".
        params: of "flow".

    Raises:
        UsageError: an unknown name, or an option that the dequantiser does not have.
    """
    options: dict[str, Any] = {} if std is None else {"std": std}
    bin_range = data_range
    if name == "flow":
        options |= {"network": network, "params": params}
    elif name == "truncated_normal":
        low, high = level_range
        half = 0.5 * (high - low) / (bins - 1)
        bin_range = low - half, high + half
        options.setdefault("std", TruncatedNormal.std_of(sde, t_min))
        options["data_range"] = bin_range
    return make("dequantizer", DEQUANTIZERS, name, **options), bin_range
