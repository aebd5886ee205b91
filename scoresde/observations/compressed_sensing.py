"""Compressed sensing: fewer random projections than there are pixels."""

import dataclasses

import jax
from jax import Array

from scoresde import plain
from scoresde.errors import UsageError
from scoresde.observations.base import Observation
from scoresde.observations.matrix import times


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class CompressedSensing(Observation):
    """Random projections, by a matrix of N(0, 1/d) drawn from a seed: y is [batch, measurements].

    Attributes:
        measurements: their number, >= 1.
        seed: of the matrix.
    """

    measurements: int = dataclasses.field(metadata={"static": True})
    seed: int = dataclasses.field(default=0, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        plain.check("measurements of CompressedSensing", self.measurements, int)
        plain.check("seed of CompressedSensing", self.seed, int)
        if self.measurements < 1:
            raise UsageError(f"measurements must be at least 1, got {self.measurements}.")

    def forward(self, x0: Array, condition=None) -> Array:
        size = x0[0].size
        shape = self.measurements, size
        matrix = jax.random.normal(jax.random.key(self.seed), shape, x0.dtype) / size**0.5
        return times(matrix, x0)
