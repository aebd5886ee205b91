"""JPEG: an image as it comes back of a file of some quality."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.errors import UsageError
from scoresde.observations.base import Observation, checked_range, image_shape
from scoresde.observations.jpeg_tables import TO_RGB, TO_YCC, TRANSFORM, quantization_table
from scoresde.registry import member

SUBSAMPLINGS = {"4:4:4": "none", "4:2:0": "color differences of squares of four pixels"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class JPEG(Observation):
    """The image, gray or RGB, that a JPEG file of it holds: y is like x0, of whole levels 0 .. 255.

    The baseline codec of ITU-T T.81 with its standard tables: colors as luma and color differences,
    blocks of 8x8 pixels in a cosine transform, whose coefficients are rounded to multiples of a
    table. What loses nothing (Huffman coding) is left out. Decoded by the filters of libjpeg,
    from whose pictures it differs where that computes in integers, by a level or two.

    Everything is rounded where a file does it, so that an image which may have been the original
    has no residual at all. The derivative is not the exact one, which is zero almost everywhere,
    but straight through: of rounding and clipping it is taken to be one. That makes it the identity
    for "4:4:4", and a low-pass of the color differences for "4:2:0".

    Attributes:
        quality: 1 .. 100, as of libjpeg and Pillow.
        subsampling: "4:4:4", or "4:2:0" for color differences at half of the size, which is
            libjpeg's and Pillow's own choice. Gray images have none.
        data_range: (low, high), the values of x0 that are levels 0 and 255.
    """

    linear: ClassVar[bool] = False
    pictured: ClassVar[bool] = True

    quality: int = dataclasses.field(default=75, metadata={"static": True})
    subsampling: str = dataclasses.field(default="4:4:4", metadata={"static": True})
    data_range: tuple[float, float] = dataclasses.field(
        default=(-1.0, 1.0), metadata={"static": True}
    )

    def __post_init__(self):
        super().__post_init__()
        plain.check("quality of JPEG", self.quality, int)
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality must be 1 .. 100, got {self.quality}.")
        member("subsampling of JPEG", SUBSAMPLINGS, self.subsampling)
        object.__setattr__(self, "data_range", checked_range(self.data_range))

    def forward(self, x0: Array, condition=None) -> Array:
        height, width, channels = image_shape(x0, "JPEG")
        if channels not in (1, 3):
            raise UsageError(f"JPEG is of gray or RGB images, not of shape {x0.shape}.")
        low, high = self.data_range
        levels = _levels((x0 - low) * (255 / (high - low)))
        if channels == 1:
            levels = _levels(self._plane(levels[..., 0] - 128, False) + 128)[..., None]
        else:
            levels = self._colors(levels, (height, width))
        return low + levels * ((high - low) / 255)

    def _colors(self, levels, size):
        planes = _through(jnp.round, levels @ jnp.asarray(TO_YCC.T, levels.dtype))
        luma, differences = planes[..., 0] - 128, [planes[..., 1], planes[..., 2]]
        halve = self.subsampling == "4:2:0"
        if halve:
            differences = [_through(jnp.round, _halved(plane)) for plane in differences]
        planes = [self._plane(luma, False), *(self._plane(plane, True) for plane in differences)]
        # An offset of 128 makes levels of each, which is how the decoder holds them.
        luma, *differences = (_levels(plane + 128) - 128 for plane in planes)
        if halve:
            differences = [_through(jnp.round, _doubled(plane, size)) for plane in differences]
        planes = jnp.stack([luma + 128, *differences], axis=-1)
        return _levels(planes @ jnp.asarray(TO_RGB.T, planes.dtype))

    def _plane(self, plane, chrominance):
        """A plane [batch, height, width] around zero, of coefficients that are rounded."""
        batch, height, width = plane.shape
        padded = jnp.pad(plane, ((0, 0), (0, -height % 8), (0, -width % 8)), mode="edge")
        blocks = padded.reshape(batch, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8)
        transform = jnp.asarray(TRANSFORM, plane.dtype)
        table = jnp.asarray(quantization_table(self.quality, chrominance), plane.dtype)
        coefficients = jnp.einsum("ki,baicj,lj->backl", transform, blocks, transform)
        kept = _through(lambda c: _round(jnp.round(8 * c) / (8 * table)) * table, coefficients)
        blocks = jnp.einsum("ki,backl,lj->baicj", transform, kept, transform)
        return blocks.reshape(padded.shape)[:, :height, :width]


def _round(x):
    # Halves, which eighths often are, go away from zero; also those that are not seen to be some.
    return jnp.sign(x) * jnp.floor(jnp.abs(x) + 0.5001)


def _through(function, x):
    """function(x), of which the derivative is taken to be one."""
    return x + jax.lax.stop_gradient(function(x) - x)


def _levels(x):
    return _through(lambda x: jnp.clip(jnp.round(x), 0, 255), x)


def _halved(plane):
    """Means of four pixels; an odd side is repeated at its end."""
    batch, height, width = plane.shape
    padded = jnp.pad(plane, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
    squares = padded.reshape(batch, padded.shape[1] // 2, 2, padded.shape[2] // 2, 2)
    return squares.mean(axis=(2, 4))


def _doubled(plane, size):
    """Twice the size by a triangle, 3/4 of the nearer and 1/4 of the further one, on each axis."""
    for axis, length in ((1, size[0]), (2, size[1])):
        count = plane.shape[axis]
        padding = [(0, 0)] * 3
        padding[axis] = (1, 1)
        padded = jnp.pad(plane, padding, mode="edge")
        before = jax.lax.slice_in_dim(padded, 0, count, axis=axis)
        after = jax.lax.slice_in_dim(padded, 2, count + 2, axis=axis)
        pair = jnp.stack([0.75 * plane + 0.25 * before, 0.75 * plane + 0.25 * after], axis + 1)
        shape = list(plane.shape)
        shape[axis] = 2 * count
        plane = jax.lax.slice_in_dim(pair.reshape(shape), 0, length, axis=axis)
    return plane
