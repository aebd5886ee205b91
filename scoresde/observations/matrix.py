"""Any linear measurement, as a matrix."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.errors import UsageError, shown
from scoresde.observations.base import Observation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Matrix(Observation):
    """y = matrix x0, with each sample as a vector: y is [batch, m].

    Attributes:
        matrix: [m, d], where d is the size of a sample.
    """

    matrix: ArrayLike

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.matrix, str | type | int | float | list):
            raise UsageError(f"The matrix is an array [m, d], not {shown(self.matrix)}.")

    def forward(self, x0: Array, condition=None) -> Array:
        return times(jnp.asarray(self.matrix, x0.dtype), x0)


def times(matrix: Array, x0: Array) -> Array:
    """matrix [m, d] times each of the samples x0 [batch, ...], [batch, m].

    Raises:
        UsageError: the samples are not of size d.
    """
    x0 = x0.reshape(len(x0), -1)
    if matrix.ndim != 2 or matrix.shape[1] != x0.shape[1]:
        raise UsageError(
            f"Samples of size {x0.shape[1]} take a matrix [m, {x0.shape[1]}], not one of shape "
            f"{matrix.shape}."
        )
    return x0 @ matrix.T
