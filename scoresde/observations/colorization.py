"""Colorization: the gray image is seen.

An orthonormal rotation of (R, G, B) has gray as its first axis, (1, 1, 1) / sqrt(3), so that what
is seen and what is not are separate coordinates, with noise of the same variance (Song et al. 2021,
arXiv:2011.13456, appendix I.3).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.channels import hint
from scoresde.errors import UsageError
from scoresde.observations.base import Observation, image_shape

# Columns: (1, 1, 1) / sqrt(3), (-2, 1, 1) / sqrt(6) and (0, 1, -1) / sqrt(2).
_ROTATION = np.array([[1.0, -2, 0], [1, 1, 1], [1, 1, -1]]) / np.sqrt([3.0, 6, 2])


def decouple(x: Array) -> Array:
    """Colors [batch, height, width, 3] rotated, gray first: sqrt(3) times the mean of R, G, B."""
    _check(x)
    return x @ jnp.asarray(_ROTATION, x.dtype)


def couple(x: Array) -> Array:
    """The inverse of `decouple`."""
    _check(x)
    return x @ jnp.asarray(_ROTATION.T, x.dtype)


def _check(x):
    if image_shape(x, "Colorization")[2] != 3:
        raise UsageError(
            f"Colorization is of images with three channels, not of shape {x.shape}.{hint(x.shape)}"
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Colorization(Observation):
    """The gray image, sqrt(3) times the mean of R, G and B: y is [batch, height, width, 1]."""

    def forward(self, x0: Array, condition=None) -> Array:
        return decouple(x0)[..., :1]
