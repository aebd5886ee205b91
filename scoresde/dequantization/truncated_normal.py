"""Truncated normal dequantisation: the noise that the process itself has at t_min.

A process that starts from the discrete values x_k (the centres of the bins) has at t_min the
marginal sum_k P(k) N(alpha x_k, sigma^2). Dequantised with normal noise of std sigma / alpha, cut
at the ends of the bin, images look as the network saw them in training (Zheng et al. 2023,
arXiv:2305.03935, section 4.2): the choice for networks trained without dequantisation.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.special import erfinv
from jax.typing import ArrayLike

from scoresde.data import check_levels
from scoresde.dequantization.levels import Dequantized, into_bins
from scoresde.keys import sample_keys
from scoresde.registry import UsageError
from scoresde.sdes import SDE


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["std", "data_range"]
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class TruncatedNormal:
    """u normal around the centre of the bin, cut at its ends.

    Attributes:
        std: standard deviation before the cut, in the units of `data_range`.
        data_range: (low, high), what the bins fill.

    Raises:
        UsageError: a std that is not positive, or an empty range.
    """

    std: float
    data_range: tuple[float, float]

    def __post_init__(self):
        low, high = self.data_range
        if not (0 < self.std < math.inf and low < high):
            raise UsageError(
                "Truncated normal dequantisation needs a positive std and a range low < high, got "
                f"{self.std} and {self.data_range}."
            )

    @staticmethod
    def std_of(sde: SDE, t_min: float | None = None) -> float:
        """sigma / alpha, what the process adds to x_0 by `t_min` (its own if None)."""
        with jax.ensure_compile_time_eval():
            return float(jnp.exp(-0.5 * sde.log_snr(sde.t_min if t_min is None else t_min)))

    def __call__(self, key: Array, levels: ArrayLike, bins: int) -> Dequantized:
        """Dequantises; see the package.

        With h = (bin / 2) / std and v uniform on (-1, 1), z = sqrt(2) erfinv(v erf(h / sqrt(2))) is
        normal noise on (-h, h): the inverse of its distribution function, taken from the centre,
        where float32 has digits for narrow noise and for wide noise alike.

        Args:
            key: one key, from which image i gets `fold_in(key, i)`, or one key per image [batch].
            levels: integers 0 .. bins - 1, [batch, ...].
            bins: number of levels, at most 256.

        Raises:
            UsageError: the levels are not on the grid.
        """
        check_levels(levels, bins)
        levels = jnp.asarray(levels)
        low, high = self.data_range
        std = self.std * bins / (high - low)  # in bins
        mass = math.erf(0.5 / std / math.sqrt(2))
        keys = sample_keys(key, len(levels))
        draws = jax.vmap(lambda key: jax.random.bits(key, levels.shape[1:], jnp.uint32))(keys)
        # Odd multiples of 2^-23: symmetric, exact in float32, and never the ends.
        v = (2 * (draws >> 9).astype(jnp.float32) + 1) * 2.0**-23 - 1
        z = math.sqrt(2) * erfinv(v * mass)
        # The constant by Python in double precision: for wide noise its logarithms cancel.
        constant = -math.log(std) - 0.5 * math.log(2 * math.pi) - math.log(mass)
        square = jnp.sum(jnp.reshape(z**2, (len(levels), -1)), axis=1)
        log_q = math.prod(levels.shape[1:]) * constant - 0.5 * square
        return Dequantized(into_bins(levels, 0.5 + std * z, bins), log_q)
