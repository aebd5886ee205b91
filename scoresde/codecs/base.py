"""What a codec is: the way of images to x, in which process and network work, and back."""

from typing import ClassVar

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.channels import hint
from scoresde.registry import UsageError, shown

Range = tuple[float, float]


class Codec:
    """What every codec offers. A subclass has these attributes, `encode` and `decode`.

    A codec is made with `image_shape` and `bins` of the data and options of its own; one that goes
    into a compiled function as an argument is a JAX pytree.

    Attributes:
        of_images: whether the data are images of integer levels; a property of the class.
        image_shape: the shape of a record of the data: (height, width, channels) of images.
        bins: number of gray levels of the images; None for data that are no images.
        shape: the shape of x, without the batch.
        data_range: (low, high), the range of x that the network works in; None if there is none.
        bin_range: (low, high), what the bins of images with noise in them fill in x: bin k of K is
            the interval low + (high - low) [k, k + 1) / K. None where an image's bins are no
            intervals of x, as in a latent space; such x have no bits/dim.
        level_range: (low, high), the values in x of the first and the last level as the network is
            trained on them: the centers of their bins, or the ends of data_range. None as above.
    """

    of_images: ClassVar[bool] = True

    image_shape: tuple[int, ...]
    bins: int | None
    data_range: Range | None = None
    bin_range: Range | None = None
    level_range: Range | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of x, without the batch: that of the images, unless a codec says otherwise."""
        return self.image_shape

    def encode(self, key: Array | None, images: ArrayLike) -> Array:
        """x of images, as the network is trained on it.

        Args:
            key: one key, from which image i gets `fold_in(key, i)`, or one key per image [batch];
                not used by a codec without randomness, which takes None.
            images: the data, [batch, *image_shape].

        Returns:
            [batch, *shape].

        Raises:
            UsageError: data of another type or shape.
        """
        raise TypeError(f"{type(self).__name__} must define encode(key, images).")

    def decode(self, x: ArrayLike) -> Array:
        """The images, or the data, that x stands for.

        What is not finite becomes some image too: `unfinished` says for which samples that is so.

        Args:
            x: samples, [..., *shape].

        Returns:
            [..., *image_shape], uint8 levels 0 .. bins - 1 of images.

        Raises:
            UsageError: x of another shape.
        """
        raise TypeError(f"{type(self).__name__} must define decode(x).")

    def unfinished(self, x: ArrayLike) -> Array:
        """Whether a sample holds a value that is not finite: bool [...] for x [..., *shape].

        Raises:
            UsageError: x of another shape.
        """
        x = self.check_x(x)
        return ~jnp.all(jnp.isfinite(x), axis=tuple(range(-len(self.shape), 0)))

    def check_images(self, images: ArrayLike) -> None:
        """Raises UsageError unless `images` have shape [batch, *image_shape]."""
        if jnp.shape(images)[1:] != self.image_shape or not jnp.ndim(images):
            raise UsageError(
                f"This codec encodes data of shape [batch, {_words(self.image_shape)}], not "
                f"{list(jnp.shape(images))}.{hint(jnp.shape(images), self.image_shape)}"
            )

    def check_x(self, x: ArrayLike) -> Array:
        """`x` as an array.

        Raises:
            UsageError: its shape is not [..., *shape].
        """
        try:
            x = jnp.asarray(x)
        except (TypeError, ValueError):
            raise UsageError(
                f"x is an array [..., {_words(self.shape)}], not {shown(x)}."
            ) from None
        if x.shape[x.ndim - len(self.shape) :] != self.shape or x.ndim < len(self.shape):
            raise UsageError(
                f"This codec decodes x of shape [..., {_words(self.shape)}], not {list(x.shape)}."
                f"{hint(x.shape, self.shape)}"
            )
        return x


def _words(shape):
    return ", ".join(map(str, shape))
