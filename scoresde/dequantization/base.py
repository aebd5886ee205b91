"""What dequantizers share: their interface, their result, and how noise stays within its bin."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.codecs import Codec
from scoresde.condition import Condition
from scoresde.registry import UsageError
from scoresde.sdes import SDE

# float32 holds k + u for k < 256 and this u exactly, and dividing by the bins cannot carry it over.
_LARGEST = 1 - 2.0**-15


class Dequantized(NamedTuple):
    """Images with a density.

    Attributes:
        unit: (k + u) / bins, float32 in [0, 1), like the images.
        log_q: log density of the noise u in nats, [batch]; a bin is one wide.
    """

    unit: Array
    log_q: Array


class Dequantizer:
    """What every dequantizer offers. A subclass defines `__call__`, and is a JAX pytree:

    @jax.tree_util.register_dataclass
    @dataclasses.dataclass(frozen=True)
    class Mine(Dequantizer):
        width: float = 1.0

        def __call__(self, key, images, bins, condition=None): ...
    """

    def __call__(
        self,
        key: Array,
        images: ArrayLike,
        bins: int,
        condition: Condition = None,
    ) -> Dequantized:
        """Dequantizes.

        Args:
            key: one key, from which image i gets `fold_in(key, i)`, or one key per image [batch].
            images: integer levels 0 .. bins - 1, [batch, ...].
            bins: number of gray levels, at most 256.
            condition: what else is known of each image, arrays [batch, ...] by name; for a
                dequantizer that asks for it.

        Raises:
            UsageError: the images are not on the grid.
        """
        raise TypeError(
            f"{type(self).__name__} must define __call__(key, images, bins, condition)."
        )

    def bin_range_in(self, codec: Codec) -> tuple[float, float]:
        """(low, high), what the bins fill in the x of `codec`: by default what it says itself."""
        return codec.bin_range

    @classmethod
    def defaults(cls, codec: Codec, sde: SDE, t_min: float | None) -> dict[str, Any]:
        """The options that follow from the data, the process and where the likelihood starts."""
        del codec, sde, t_min
        return {}


def check_dequantizer(dequantizer: Dequantizer) -> None:
    """Raises UsageError unless `dequantizer` can go into a compiled function."""
    if jax.tree_util.all_leaves([dequantizer]):
        raise UsageError(
            f"The dequantizer, a {type(dequantizer).__name__}, is no JAX pytree: put "
            "@jax.tree_util.register_dataclass above its @dataclasses.dataclass, as "
            "scoresde.dequantization.Dequantizer shows."
        )


def into_bins(images: Array, noise: Array, bins: int) -> Array:
    """(k + u) / bins in float32, kept inside the bin of k.

    Args:
        images: k, [batch, ...].
        noise: u in [0, 1], like images. What lies closer to the upper end than 2^-15 is moved
            there, since rounding could carry it into the next bin.
        bins: number of levels, at most 256.
    """
    noise = jnp.clip(noise, 0.0, _LARGEST)
    return (images.astype(jnp.float32) + noise) / bins
