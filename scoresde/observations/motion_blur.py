"""Motion blur: a camera that shook while the picture was taken."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde import plain
from scoresde.errors import UsageError
from scoresde.observations.base import Observation
from scoresde.observations.blur import convolve


def motion_kernel(size: int = 9, bend: float = 0.5, seed: int = 0) -> np.ndarray:
    """The trace of a point in the picture of a camera that moves: [size, size], of sum one.

    A path of constant speed whose direction is a random walk, centered, and as large as the kernel.

    Args:
        size: of the kernel in pixels, odd, >= 1.
        bend: how much the direction changes on the way, the standard deviation in radians at its
            end from that at its beginning is 2 pi bend; 0 is a straight line.
        seed: of path and direction.
    """
    rng, steps = np.random.default_rng(seed), 64 * size
    turns = rng.normal(size=steps) * (2 * np.pi * bend / np.sqrt(steps))
    angle = rng.uniform(0, 2 * np.pi) + np.cumsum(turns)
    path = np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0)
    low, high = path.min(axis=0), path.max(axis=0)
    # A pixel is dealt out to the four around it, of which none is outside.
    path = (path - (low + high) / 2) * ((size - 1) / (high - low).max()) + (size - 1) / 2
    corner = np.clip(np.floor(path).astype(int), 0, max(0, size - 2))
    kernel = np.zeros((size + 1, size + 1))
    within = path - corner
    for row in (0, 1):
        for column in (0, 1):
            weight = np.abs(1 - row - within[:, 0]) * np.abs(1 - column - within[:, 1])
            np.add.at(kernel, (corner[:, 0] + row, corner[:, 1] + column), weight)
    return kernel[:size, :size] / kernel[:size, :size].sum()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class MotionBlur(Observation):
    """A convolution of each channel with a random path of a seed, zeros outside: y is like x0.

    Attributes:
        size: of the kernel in pixels, odd; see `motion_kernel`, as for the others.
        bend: how crooked the path is, >= 0.
        seed: of the path, which is the same at every call.
    """

    pictured: ClassVar[bool] = True

    size: int = dataclasses.field(default=9, metadata={"static": True})
    bend: float = dataclasses.field(default=0.5, metadata={"static": True})
    seed: int = dataclasses.field(default=0, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        check_motion(self)

    def forward(self, x0: Array, condition=None) -> Array:
        kernel = jnp.asarray(motion_kernel(self.size, self.bend, self.seed), x0.dtype)
        return convolve(x0, kernel, "Motion blur")


def check_motion(observation: Observation) -> None:
    """Raises UsageError unless size, bend and seed of a motion are in their ranges."""
    name = type(observation).__name__
    plain.check(f"size of {name}", observation.size, int)
    plain.check(f"bend of {name}", observation.bend, float)
    plain.check(f"seed of {name}", observation.seed, int)
    if observation.size < 1 or not observation.size % 2:
        raise UsageError(f"size must be odd and positive, got {observation.size}.")
    if not 0 <= observation.bend < float("inf"):
        raise UsageError(f"bend must not be negative, got {observation.bend}.")
    if observation.seed < 0:
        raise UsageError(f"seed must not be negative, got {observation.seed}.")
