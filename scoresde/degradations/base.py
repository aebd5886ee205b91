"""A degradation: from an image to what a conditional network is told of it."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.degradations.augmentation import Augmentation
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.observations import Observation
from scoresde.registry import UsageError

FILLS = ("zero", "noise")
"""What stands where a pixel is not known: 0, or standard normal noise, as Palette has it."""

# What each use of a sample's key folds into it.
_MASK, _OBSERVE, _FILL, _LEVEL, _NOISE = range(5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Degradation:
    """An observation of x_0 as a condition; every sample has a key of its own.

    Attributes:
        observation: what is seen.
        masks: (key, (height, width)) -> known pixels, bool; where the observation reads a mask.
        fill: one of FILLS, of pixels that the mask says are not known.
        augmentation: noise on what is seen, whose level is told as "augmentation"; None for none.
        told_as: the name of what is seen in the condition.

    Raises:
        UsageError: a mask is needed and there are none, or the other way around, or no such fill.
    """

    observation: Observation
    masks: Callable[[Array, tuple[int, int]], Array] | None = None
    fill: str = "zero"
    augmentation: Augmentation | None = None
    told_as: str = "observation"

    def __post_init__(self):
        if self.fill not in FILLS:
            raise UsageError(f"fill must be one of {', '.join(FILLS)}, not {self.fill!r}.")
        if (self.masks is not None) != self.masked:
            raise UsageError(
                f"{type(self.observation).__name__} reads "
                f"{'a mask: give masks' if self.masked else 'no mask: leave out masks'}."
            )
        others = set(self.observation.reads) - {"mask"}
        if others:
            raise UsageError(f"A degradation cannot make the {sorted(others)[0]!r} that is read.")

    @property
    def masked(self) -> bool:
        """Whether pixels are hidden by masks."""
        return "mask" in self.observation.reads

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the condition."""
        level = ("augmentation",) if self.augmentation is not None else ()
        return (self.told_as, *self.observation.reads, *level)

    def __call__(self, key: Array, x0: Array, level: ArrayLike | None = None) -> dict[str, Array]:
        """What is told of the samples x0.

        Args:
            key: one key, or one for each sample [batch].
            x0: samples in the range of the network, [batch, ...].
            level: of augmentation; drawn if None.

        Returns:
            Arrays [batch, ...] by the names of `names`; a mask is float, 1 where pixels are known,
            [batch, height, width, 1].
        """
        keys, condition = sample_keys(key, len(x0)), {}
        if self.masked:
            size = x0.shape[1:3]
            known = jax.vmap(lambda key: self.masks(key, size))(fold_in(keys, _MASK))
            condition["mask"] = known[..., None].astype(x0.dtype)
        y = self.observation.observe(fold_in(keys, _OBSERVE), x0, condition)
        return self.tell(keys, y, condition.get("mask"), level)

    def tell(
        self,
        key: Array,
        y: Array,
        mask: Array | None = None,
        level: ArrayLike | None = None,
        noised: bool = False,
    ) -> dict[str, Array]:
        """What is told where y has been observed: the same, of y [batch, ...] and its mask.

        With `noised`, y has the noise of the level already.

        Raises:
            UsageError: a level of noise, and no augmentation.
        """
        keys, told = sample_keys(key, len(y)), {}
        if self.masked:
            mask = jnp.asarray(mask, y.dtype)
            mask = mask[..., None] if mask.ndim == y.ndim - 1 else mask
            fill = jnp.zeros_like(y)
            if self.fill == "noise":
                fill = normal(fold_in(keys, _FILL), y.shape, y.dtype)
            y, told["mask"] = jnp.where(mask > 0.5, y, fill), mask
        if self.augmentation is not None:
            if level is None:
                level = self.augmentation.levels(fold_in(keys, _LEVEL))
            if not noised:
                y = self.augmentation.noised(fold_in(keys, _NOISE), y, level)
            told["augmentation"] = jnp.broadcast_to(jnp.asarray(level, y.dtype), y.shape[:1])
        elif level:
            raise UsageError(
                "This network was trained without augmentation, and takes no level of it."
            )
        return {self.told_as: y, **told}
