"""Noise-conditioning augmentation: the condition image at a random noise level, which is told.

A network of super-resolution that is trained on clean small images meets those of another model
when it samples in a cascade. Trained on y_s = alpha(s) y + sigma(s) noise with s told to it, it can
be given what is noised enough to hide the difference (Ho et al. 2021, arXiv:2106.15282, section 4;
Saharia et al. 2022, arXiv:2205.11487, algorithm 1).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.keys import normal
from scoresde.registry import UsageError, component
from scoresde.sdes import SDE, SDES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """The process that noises a condition, and the levels that are drawn.

    Attributes:
        sde: a process, its name or a section; that of the base model, where its sampling is to be
            cut short.
        most: levels s are uniform on [0, most], at most the process's t_max.

    Raises:
        UsageError: a level beyond the process.
    """

    sde: Any = "vp"
    most: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "sde", component("SDE", SDES, self.sde, SDE))
        if not 0 <= self.most <= self.sde.t_max:
            raise UsageError(
                f"most, of augmentation, must be 0 .. {self.sde.t_max}, got {self.most}."
            )

    def check(self, level: float) -> None:
        """Raises UsageError for a level that is never drawn in training."""
        if not 0 <= level <= self.most:
            raise UsageError(
                f"The level of augmentation must be 0 .. {self.most}, as far as the network was "
                f"trained, got {level}."
            )

    def levels(self, keys: Array) -> Array:
        """A random level for each of the keys, [batch]."""
        return self.most * jax.vmap(jax.random.uniform)(keys)

    def noised(self, keys: Array, y: Array, level: ArrayLike) -> Array:
        """y [batch, ...] at these levels, scalar or [batch]; at level 0 it is y itself."""
        level = jnp.broadcast_to(jnp.asarray(level, y.dtype), y.shape[:1])
        noisy = self.sde.perturb(y, normal(keys, y.shape, y.dtype), level)
        return jnp.where(jnp.expand_dims(level > 0, range(1, y.ndim)), noisy, y)
