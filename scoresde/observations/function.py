"""Any function of the data."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
from jax import Array

from scoresde.errors import UsageError, shown
from scoresde.observations.base import Observation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Function(Observation):
    """y = function(x0), which JAX can differentiate; it treats each sample alone.

    Attributes:
        function: x0 [batch, ...] -> [batch, ...], hashable and without random numbers of its own.
    """

    linear: ClassVar[bool] = False

    function: Callable[[Array], Array] = dataclasses.field(metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        if not callable(self.function):
            raise UsageError(f"The function of x0 is given as {shown(self.function)}.")

    def forward(self, x0: Array, condition=None) -> Array:
        y = self.function(x0)
        if jax.numpy.shape(y)[:1] != x0.shape[:1]:
            raise UsageError(
                f"What is observed of {len(x0)} samples is [{len(x0)}, ...], and the function "
                f"gives the shape {jax.numpy.shape(y)}."
            )
        return y
