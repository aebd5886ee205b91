"""Random masks: which pixels of an image are known, a mask a key."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.plain import check_fields
from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Boxes:
    """A box of unknown pixels: its sides and its place are uniform.

    Attributes:
        least: the shortest a side may be, as a share of the image's.
        most: the longest.

    Raises:
        UsageError: not 0 < least <= most <= 1.
    """

    least: float = 0.25
    most: float = 0.6

    def __post_init__(self):
        check_fields(self)
        if not 0 < self.least <= self.most <= 1:
            raise UsageError(f"Boxes need 0 < least <= most <= 1, got {self.least}, {self.most}.")

    def __call__(self, key: Array, size: tuple[int, int]) -> Array:
        """True where a pixel is known, bool [height, width] for size = (height, width)."""
        sides, corners = jax.random.uniform(key, (2, 2))
        inside = True
        for axis, length in enumerate(size):
            share = self.least + (self.most - self.least) * sides[axis]
            side = jnp.clip(jnp.round(share * length), 1, length)
            first = jnp.floor(corners[axis] * (length - side + 1))
            place = jnp.arange(length)
            within = (place >= first) & (place < first + side)
            inside &= within[:, None] if axis == 0 else within[None, :]
        return ~inside


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strokes:
    """Free-form: the pixels under the strokes of a brush, a random walk, are unknown.

    Attributes:
        number: segments of the path.
        length: of a segment at most, as a share of the image's smaller side.
        width: the brush's radius at most, likewise; half of it at least.

    Raises:
        UsageError: a value that is not positive.
    """

    number: int = 6
    length: float = 0.6
    width: float = 0.1

    def __post_init__(self):
        check_fields(self)
        if self.number < 1 or not (self.length > 0 and self.width > 0):
            raise UsageError(f"Strokes need positive number, length and width, got {self}.")

    def __call__(self, key: Array, size: tuple[int, int]) -> Array:
        """True where a pixel is known, bool [height, width] for size = (height, width)."""
        start_key, turn_key, length_key, width_key = jax.random.split(key, 4)
        side, bounds = min(size), jnp.array(size, jnp.float32) - 1
        start = jax.random.uniform(start_key, (2,)) * bounds
        angle = 2 * jnp.pi * jax.random.uniform(turn_key, (self.number,))
        length = jax.random.uniform(length_key, (self.number,)) * self.length * side
        step = length[:, None] * jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=1)
        radius = self.width * side * (0.5 + 0.5 * jax.random.uniform(width_key))

        def move(at, step):
            after = jnp.clip(at + step, 0, bounds)
            return after, (at, after)

        _, (begin, end) = jax.lax.scan(move, start, step)
        pixels = jnp.stack(jnp.mgrid[: size[0], : size[1]], axis=-1)[:, :, None]
        along = end - begin
        share = jnp.sum((pixels - begin) * along, -1) / jnp.maximum(jnp.sum(along**2, -1), 1e-6)
        nearest = begin + jnp.clip(share, 0, 1)[..., None] * along
        return jnp.sum((pixels - nearest) ** 2, axis=-1).min(axis=-1) > radius**2


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixedMasks:
    """Boxes and strokes, one or the other.

    Attributes:
        boxes: the share of boxes, in [0, 1].

    Raises:
        UsageError: a share that is none.
    """

    boxes: float = 0.5

    def __post_init__(self):
        check_fields(self)
        if not 0 <= self.boxes <= 1:
            raise UsageError(f"The share of boxes must be 0 .. 1, got {self.boxes}.")

    def __call__(self, key: Array, size: tuple[int, int]) -> Array:
        """True where a pixel is known, bool [height, width] for size = (height, width)."""
        which_key, key = jax.random.split(key)
        box = jax.random.bernoulli(which_key, self.boxes)
        return jnp.where(box, Boxes()(key, size), Strokes()(key, size))


MASKS = {"boxes": Boxes, "strokes": Strokes, "mixed": MixedMasks}
"""Random masks by name."""
