"""Nonlinear blur: light is what is blurred, and a picture's values are no light."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.errors import UsageError
from scoresde.observations.base import Observation, checked_range
from scoresde.observations.blur import convolve
from scoresde.observations.motion_blur import check_motion, motion_kernel


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class NonlinearBlur(Observation):
    """Motion blur of light, seen by a sensor of logarithmic response: y is like x0.

    With u = (x0 - low) / (high - low), the light of a pixel is exp(contrast u); a motion kernel
    averages the light of its neighbors, and y is its logarithm again,

        y = low + (high - low) log(kernel * exp(contrast u)) / contrast,

    so that what is bright outshines what is dark. Even areas stay as they are; an image is
    continued at its edges. For a contrast near zero it is linear, for a large one the brightest
    point on the path.

    It is one operator, drawn of a seed. (The nonlinear blur of DPS, arXiv:2209.14687, is a trained
    network that is not here; its published code draws another kernel at every call, so that y is of
    another operator than the likelihood.)

    Attributes:
        contrast: the logarithm of how much brighter white is than black, > 0.
        size: of the kernel in pixels, odd; see `motion_kernel`, as for bend and seed.
        bend: how crooked the path is, >= 0.
        seed: of the path.
        data_range: (low, high), the values of x0 that are black and white.
    """

    linear: ClassVar[bool] = False
    pictured: ClassVar[bool] = True

    contrast: float = dataclasses.field(default=4.0, metadata={"static": True})
    size: int = dataclasses.field(default=9, metadata={"static": True})
    bend: float = dataclasses.field(default=0.5, metadata={"static": True})
    seed: int = dataclasses.field(default=0, metadata={"static": True})
    data_range: tuple[float, float] = dataclasses.field(
        default=(-1.0, 1.0), metadata={"static": True}
    )

    def __post_init__(self):
        super().__post_init__()
        check_motion(self)
        plain.check("contrast of NonlinearBlur", self.contrast, float)
        if not 0 < self.contrast < math.inf:
            raise UsageError(f"contrast must be positive, got {self.contrast}.")
        object.__setattr__(self, "data_range", checked_range(self.data_range))

    def forward(self, x0: Array, condition=None) -> Array:
        low, high = self.data_range
        kernel = jnp.asarray(motion_kernel(self.size, self.bend, self.seed), x0.dtype)
        rate = self.contrast / (high - low)
        # Of the brightest pixel the light is one, which no x0 is too bright for.
        axes = tuple(range(1, x0.ndim))
        brightest = jax.lax.stop_gradient(jnp.max(x0, axis=axes, keepdims=True))
        light = convolve(jnp.exp(rate * (x0 - brightest)), kernel, "A nonlinear blur", "edge")
        return brightest + jnp.log(light) / rate
