"""Images scaled to the range that a network works in, with or without noise in their bins.

    dequantize   encode                                    decode          level_range
    no           level k at low + (high - low) k / (K-1)   nearest level   (low, high)
    yes          (k + u) / K of the range, u ~ U(0, 1)     its bin         centers of the end bins

A network trained on dequantized images draws values from all of a bin, so that a value is read by
the bin it falls in; one trained on the bare levels draws values around them, and the nearest is it.
"""

import dataclasses
import functools

import jax
from jax import Array
from jax.typing import ArrayLike

from scoresde import data
from scoresde.codecs.base import Codec, Range
from scoresde.registry import UsageError


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[],
    meta_fields=["image_shape", "bins", "data_range", "dequantize"],
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageCodec(Codec):
    """x is the image itself, scaled; see the module.

    Attributes:
        image_shape: (height, width, channels).
        bins: number of gray levels, 2 .. 256.
        data_range: (low, high), what the network works in.
        dequantize: whether `encode` adds uniform noise within the bins
            (`scoresde.data.dequantize`); else it is deterministic, and its key may be None.

    Raises:
        UsageError: the data are no images, bins are out of range, or data_range is empty.
    """

    image_shape: tuple[int, ...]
    bins: int | None = 256
    data_range: Range = (-1.0, 1.0)
    dequantize: bool = False

    def __post_init__(self):
        object.__setattr__(self, "image_shape", tuple(self.image_shape))
        object.__setattr__(self, "data_range", tuple(float(end) for end in self.data_range))
        if self.bins is None:
            raise UsageError(
                "The codec 'images' needs images of integer levels, but the data are real numbers "
                "(bins=None); use the codec 'identity', or convert floats in [0, 1] with "
                "(255 * x).round().astype('uint8')."
            )
        if not 2 <= self.bins <= 256:
            raise UsageError(f"bins must be 2 .. 256, not {self.bins}.")
        data.scale(0.0, self.data_range)  # refuses an empty range

    @property
    def bin_range(self) -> Range:
        """data_range, which published protocols fill however the network was trained."""
        return self.data_range

    @property
    def level_range(self) -> Range:
        """The ends of data_range, or the centers of its first and last bin if `dequantize`."""
        low, high = self.data_range
        half = 0.5 * (high - low) / self.bins
        return (low + half, high - half) if self.dequantize else (low, high)

    def encode(self, key: Array | None, images: ArrayLike) -> Array:
        self.check_images(images)
        if self.dequantize:
            unit = data.dequantize(key, images, self.bins)
        else:
            unit = data.to_unit(images, self.bins)
        return data.scale(unit, self.data_range)

    def decode(self, x: ArrayLike) -> Array:
        """The images of x; of `encode`'s result exactly the images it was made of.

        Beyond the range is the first or the last level, the infinities too. NaN, which is nowhere,
        is the level in the middle, bins // 2: neither black nor white.
        """
        x = self.check_x(x)
        if self.dequantize:
            return data.dequantized_to_images(data.unscale(x, self.data_range), self.bins)
        return data.quantize(x, self.data_range, self.bins)
