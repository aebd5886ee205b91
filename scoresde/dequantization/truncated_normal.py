"""Truncated normal dequantization: the noise that the process itself has at t_min.

A process that starts from the discrete values x_k (the centers of the bins) has at t_min the
marginal sum_k P(k) N(alpha x_k, sigma^2). Dequantized with normal noise of std sigma / alpha, cut
at the ends of the bin, images look as the network saw them in training (Zheng et al. 2023,
arXiv:2305.03935, section 4.2): the choice for networks trained without dequantization.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erfinv
from jax.typing import ArrayLike

from scoresde.codecs import Codec
from scoresde.condition import Condition
from scoresde.data import check_levels
from scoresde.dequantization.base import Dequantized, Dequantizer, into_bins
from scoresde.keys import sample_keys
from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.sdes import SDE


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["std", "bin_range"]
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class TruncatedNormalDequantizer(Dequantizer):
    """u normal around the center of the bin, cut at its ends.

    Attributes:
        std: standard deviation before the cut, in the units of x.
        bin_range: (low, high), what the bins fill in x.

    Raises:
        UsageError: a std that is not positive, or an empty range.
    """

    std: float
    bin_range: tuple[float, float]

    def __post_init__(self):
        check_fields(self)
        low, high = self.bin_range
        if not (0 < self.std < math.inf and low < high):
            raise UsageError(
                "Truncated normal dequantization needs a positive std and a range low < high, got "
                f"{self.std} and {self.bin_range}."
            )

    def bin_range_in(self, codec: Codec) -> tuple[float, float]:
        del codec
        return self.bin_range

    @classmethod
    def defaults(cls, codec: Codec, sde: SDE, t_min: float | None) -> dict[str, Any]:
        """Noise around the values that the network was trained on, as much as the process has.

        The bins are centered on those values, and the std is sigma / alpha, what the process adds
        to x_0 by `t_min` (its own if None).
        """
        low, high = codec.level_range
        half = 0.5 * (high - low) / (codec.bins - 1)
        with jax.ensure_compile_time_eval():
            std = float(jnp.exp(-0.5 * sde.log_snr(sde.t_min if t_min is None else t_min)))
        return {"std": std, "bin_range": (low - half, high + half)}

    def __call__(
        self,
        key: Array,
        images: ArrayLike,
        bins: int,
        condition: Condition = None,
    ) -> Dequantized:
        """Dequantizes; see the package.

        With h = (bin / 2) / std and v uniform on (-1, 1), z = sqrt(2) erfinv(v erf(h / sqrt(2))) is
        normal noise on (-h, h): the inverse of its distribution function, taken from the center,
        where float32 has digits for narrow noise and for wide noise alike.
        """
        del condition
        check_levels(images, bins)
        images = jnp.asarray(images)
        low, high = self.bin_range
        std = self.std * bins / (high - low)  # in bins
        mass = math.erf(0.5 / std / math.sqrt(2))
        keys = sample_keys(key, len(images))
        draws = jax.vmap(lambda key: jax.random.bits(key, images.shape[1:], jnp.uint32))(keys)
        # Odd multiples of 2^-23: symmetric, exact in float32, and never the ends.
        v = (2 * (draws >> 9).astype(jnp.float32) + 1) * 2.0**-23 - 1
        z = math.sqrt(2) * erfinv(v * mass)
        # The constant by Python in double precision: for wide noise its logarithms cancel.
        constant = -math.log(std) - 0.5 * math.log(2 * math.pi) - math.log(mass)
        square = jnp.sum(jnp.reshape(z**2, (len(images), -1)), axis=1)
        log_q = math.prod(images.shape[1:]) * constant - 0.5 * square
        return Dequantized(into_bins(images, 0.5 + std * z, bins), log_q)
