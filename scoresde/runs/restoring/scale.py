"""The levels of picture files, 0 .. 255, and the values of x that the network has for them."""

import dataclasses

import numpy as np

from scoresde.codecs import Codec
from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True)
class PixelScale:
    """The way of a picture file's levels to those of a model's images, and to x.

    Attributes:
        bins: number of levels of the model's images, which a file stretches to 0 .. 255.
        low: x of its first level; of dequantized images the center of the bin.
        high: x of its last level.
    """

    bins: int
    low: float
    high: float

    @classmethod
    def of(cls, codec: Codec) -> "PixelScale":
        """That of a codec.

        Raises:
            UsageError: its data are no images of one or three channels whose pixels are x itself.
        """
        if not codec.of_images or codec.level_range is None or codec.shape != codec.image_shape:
            raise UsageError(
                "What is restored or edited are images whose pixels the network works on, and the "
                "data of this run are none."
            )
        if codec.image_shape[-1] not in (1, 3):
            raise UsageError(
                "Picture files are gray or RGB, and the images of this run have "
                f"{codec.image_shape[-1]} channels."
            )
        return cls(codec.bins, *map(float, codec.level_range))

    def levels(self, picture: np.ndarray) -> np.ndarray:
        """The model's nearest levels to a file's, uint8: of its own files, those they were."""
        return np.round(picture * ((self.bins - 1) / 255)).astype(np.uint8)

    def x_of_levels(self, levels: np.ndarray) -> np.ndarray:
        """x of the model's levels, float32."""
        step = (self.high - self.low) / (self.bins - 1)
        return (self.low + step * np.asarray(levels, np.float64)).astype(np.float32)

    def x_of_picture(self, picture: np.ndarray) -> np.ndarray:
        """x of a file's levels, which may be between the model's, float32."""
        step = (self.high - self.low) / 255
        return (self.low + step * np.asarray(picture, np.float64)).astype(np.float32)

    def real_levels(self, x: np.ndarray) -> np.ndarray:
        """The model's levels that x has, between them and beyond them too, float64."""
        return (np.asarray(x, np.float64) - self.low) * ((self.bins - 1) / (self.high - self.low))

    def nearest_levels(self, x: np.ndarray) -> np.ndarray:
        """The model's nearest levels to x, uint8; what is not finite is the level in the middle."""
        real = np.clip(self.real_levels(x), 0, self.bins - 1)
        return np.round(np.where(np.isnan(real), self.bins // 2, real)).astype(np.uint8)

    def astray(self, x: np.ndarray) -> np.ndarray:
        """Which samples x [batch, ...] have a tenth of their values a whole range off, bool."""
        away = np.abs(self.real_levels(x) / (self.bins - 1) - 0.5) > 1.5
        return away.mean(axis=tuple(range(1, x.ndim))) > 0.1
