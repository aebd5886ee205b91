"""Uniform dequantization: all of a bin is equally likely."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde import data
from scoresde.condition import Condition
from scoresde.dequantization.base import Dequantized, Dequantizer


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class UniformDequantizer(Dequantizer):
    """u uniform on (0, 1): `scoresde.data.dequantize`, with log_q = 0 (arXiv:1511.01844)."""

    def __call__(
        self,
        key: Array,
        images: ArrayLike,
        bins: int,
        condition: Condition = None,
    ) -> Dequantized:
        del condition
        return Dequantized(data.dequantize(key, images, bins), jnp.zeros(len(images)))
