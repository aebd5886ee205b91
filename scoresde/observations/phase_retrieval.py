"""Phase retrieval: the magnitudes of a Fourier transform are seen, its phases are not."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.errors import UsageError
from scoresde.observations.base import Observation, image_shape

# Magnitudes are rounded at zero, where they have no derivative, below this square.
_SMALLEST = 1e-12


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PhaseRetrieval(Observation):
    """|F x0| of each channel, padded with zeros: y is [batch, k height, k width, channels].

    F is orthonormal, so that y has the norm of x0. An image, its negative and, turned by 180
    degrees, both again have the same y.

    Attributes:
        oversampling: k, how many times as large the padded image is, >= 1; 2 determines the rest.
    """

    linear: ClassVar[bool] = False

    oversampling: int = dataclasses.field(default=2, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        plain.check("oversampling of PhaseRetrieval", self.oversampling, int)
        if self.oversampling < 1:
            raise UsageError(f"oversampling must be at least 1, got {self.oversampling}.")

    def forward(self, x0: Array, condition=None) -> Array:
        height, width, _ = image_shape(x0, "Phase retrieval")
        size = self.oversampling * height, self.oversampling * width
        transform = jnp.fft.fft2(x0, s=size, axes=(1, 2), norm="ortho")
        return jnp.sqrt(transform.real**2 + transform.imag**2 + _SMALLEST)
