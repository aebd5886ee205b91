"""Inpainting: some of the pixels are seen."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.errors import UsageError
from scoresde.observations.base import Observation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Inpainting(Observation):
    """The values where the condition "mask" is 1; zero where it is 0. y is like x0.

    The mask is [batch, ...] like x0, or without channels: with a last axis of one, or without it.
    What y holds where the mask is 0 is not looked at.
    """

    reads = ("mask",)

    def forward(self, x0: Array, condition: Condition = None) -> Array:
        return jnp.where(self.mask(x0, condition), x0, 0.0)

    def residual(self, y: Array, x0: Array, condition: Condition = None) -> Array:
        return jnp.where(self.mask(x0, condition), y - x0, 0.0)

    def mask(self, x0: Array, condition: Condition) -> Array:
        """The condition's mask, True where x0 [batch, ...] is seen; it broadcasts against x0.

        Raises:
            UsageError: there is none, or it is of another size.
        """
        mask = jnp.asarray(self.read("mask", condition))
        if mask.shape == x0.shape or mask.shape == (*x0.shape[:-1], 1):
            return mask > 0.5
        if x0.ndim > 2 and mask.shape == x0.shape[:-1]:
            return mask[..., None] > 0.5
        raise UsageError(
            f"The condition 'mask' is of shape {mask.shape}, the samples are of {x0.shape}: a mask "
            "has their shape, or that without the channels."
        )
