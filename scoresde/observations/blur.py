"""Deblurring: every channel convolved with a kernel."""

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde import plain
from scoresde.errors import UsageError
from scoresde.observations.base import Observation, image_shape


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Blur(Observation):
    """A convolution of each channel, with zeros outside of the image: y is like x0.

    Attributes:
        std: of a Gaussian kernel, in pixels, > 0; it ends at three of them.
        kernel: any other one, [height, width], both odd; it need not be symmetric.
    """

    pictured: ClassVar[bool] = True

    std: float = dataclasses.field(default=1.0, metadata={"static": True})
    kernel: ArrayLike | None = None

    def __post_init__(self):
        super().__post_init__()
        plain.check("std of Blur", self.std, float)
        if not 0 < self.std < math.inf:
            raise UsageError(f"std must be positive, got {self.std}.")

    def forward(self, x0: Array, condition=None) -> Array:
        return convolve(x0, self._kernel(x0.dtype), "A blur")

    def _kernel(self, dtype):
        if self.kernel is None:
            radius = math.ceil(3 * self.std)
            line = jnp.exp(-0.5 * (jnp.arange(-radius, radius + 1, dtype=dtype) / self.std) ** 2)
            line /= line.sum()
            return line[:, None] * line
        kernel = jnp.asarray(self.kernel, dtype)
        if kernel.ndim != 2 or not (kernel.shape[0] % 2 and kernel.shape[1] % 2):
            raise UsageError(
                f"A kernel is [height, width], both odd, and not of shape {kernel.shape}."
            )
        return kernel


def convolve(x: Array, kernel: Array, what: str, outside: str = "constant") -> Array:
    """Each channel of images [batch, height, width, channels] convolved with one kernel.

    Args:
        x: the images.
        kernel: [height, width], both odd.
        what: what it is, for the error message.
        outside: what is beyond the edges: "constant" for zeros, "edge" for the last pixels again.

    Raises:
        UsageError: x are no images.
    """
    channels = image_shape(x, what)[2]
    around = [(0, 0), *((size // 2, size // 2) for size in kernel.shape), (0, 0)]
    return jax.lax.conv_general_dilated(
        jnp.pad(x, around, mode=outside),
        # A convolution, for which JAX's correlation reads the kernel backward.
        jnp.tile(kernel[::-1, ::-1, None, None], (1, 1, 1, channels)),
        window_strides=(1, 1),
        padding="VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=channels,
    )
