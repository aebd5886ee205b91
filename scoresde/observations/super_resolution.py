"""Super-resolution: means of squares of pixels."""

import dataclasses
from typing import ClassVar

import jax
from jax import Array

from scoresde import plain
from scoresde.channels import hint
from scoresde.errors import UsageError
from scoresde.observations.base import Observation, image_shape


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class SuperResolution(Observation):
    """Average pooling: y is [batch, height / factor, width / factor, channels].

    Attributes:
        factor: the side of a square of pixels, >= 1; it divides height and width.
    """

    pictured: ClassVar[bool] = True

    factor: int = dataclasses.field(default=2, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        plain.check("factor of SuperResolution", self.factor, int)
        if self.factor < 1:
            raise UsageError(f"factor must be at least 1, got {self.factor}.")

    def forward(self, x0: Array, condition=None) -> Array:
        height, width, channels = image_shape(x0, "Super-resolution")
        k = self.factor
        if height % k or width % k:
            raise UsageError(
                f"The factor {k} does not divide the {height}x{width} pixels of images of shape "
                f"{x0.shape}.{hint(x0.shape)}"
            )
        squares = x0.reshape(len(x0), height // k, k, width // k, k, channels)
        return squares.mean(axis=(2, 4))
