"""Uniform dequantisation: all of a bin is equally likely."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde import data
from scoresde.dequantization.levels import Dequantized


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Uniform:
    """u uniform on (0, 1): `scoresde.data.dequantize`, with log_q = 0 (arXiv:1511.01844)."""

    def __call__(self, key: Array, levels: ArrayLike, bins: int) -> Dequantized:
        """Dequantises; see the package.

        Args:
            key: one key, from which image i gets `fold_in(key, i)`, or one key per image [batch].
            levels: integers 0 .. bins - 1, [batch, ...].
            bins: number of levels, at most 256.

        Raises:
            UsageError: the levels are not on the grid.
        """
        return Dequantized(data.dequantize(key, levels, bins), jnp.zeros(len(levels)))
