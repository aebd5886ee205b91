"""A dequantizer by name, for the images of a codec."""

from typing import Any

from scoresde.codecs import Codec
from scoresde.dequantization.base import Dequantizer, check_dequantizer
from scoresde.dequantization.flow import FlowDequantizer
from scoresde.dequantization.truncated_normal import TruncatedNormalDequantizer
from scoresde.dequantization.uniform import UniformDequantizer
from scoresde.registry import UsageError, lookup, make
from scoresde.sdes import SDE

DEQUANTIZERS = {
    "uniform": UniformDequantizer,
    "truncated_normal": TruncatedNormalDequantizer,
    "flow": FlowDequantizer,
}
"""Dequantizers by name. Each is a JAX pytree."""


def choose(
    name: str, codec: Codec, *, sde: SDE, t_min: float | None = None, **options: Any
) -> tuple[Dequantizer, tuple[float, float]]:
    """A dequantizer, and the range of x that its bins fill.

    Args:
        name: of `DEQUANTIZERS`, or `package.module:Name` of a `Dequantizer` of your own.
        codec: the images' way to x.
        sde: the process.
        t_min: where the likelihood starts; the process's own if None.
        options: of the dequantizer, in place of its defaults for this codec and process.

    Raises:
        UsageError: an unknown name, an option that the dequantizer does not have, one of your own
            that is no JAX pytree, or data that are no images.
    """
    kind = lookup("dequantizer", DEQUANTIZERS, name)
    if not hasattr(kind, "defaults"):
        raise UsageError(f"The dequantizer {name!r} is no scoresde.dequantization.Dequantizer.")
    if codec.bin_range is None:
        raise UsageError(
            f"The x of {type(codec).__name__} has no bins to put noise into: take the density of x "
            "itself."
        )
    defaults = kind.defaults(codec, sde, t_min)
    dequantizer = make("dequantizer", DEQUANTIZERS, name, **(defaults | options))
    check_dequantizer(dequantizer)
    return dequantizer, dequantizer.bin_range_in(codec)
