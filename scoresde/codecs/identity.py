"""Data that are no images: x are the values themselves."""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.codecs.base import Codec
from scoresde.registry import UsageError


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["image_shape", "bins"]
)
@dataclasses.dataclass(frozen=True, kw_only=True)
class IdentityCodec(Codec):
    """Real numbers of any shape, such as points in the plane, in the precision that JAX works in.

    Attributes:
        image_shape: the shape of a record.
        bins: None, for real numbers have no levels.

    Raises:
        UsageError: the data are images.
    """

    of_images: ClassVar[bool] = False

    image_shape: tuple[int, ...]
    bins: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "image_shape", tuple(self.image_shape))
        if self.bins is not None:
            raise UsageError(
                f"The codec 'identity' takes real numbers, but the data are images of {self.bins} "
                "levels; use the codec 'images'."
            )

    def encode(self, key: Array | None, images: ArrayLike) -> Array:
        """The data in JAX's floating-point type; `key` is not used."""
        del key
        self.check_images(images)
        if not jnp.issubdtype(jnp.result_type(images), jnp.floating):
            raise UsageError(
                f"The codec 'identity' takes real numbers, not {jnp.result_type(images)}; use the "
                "codec 'images' for images."
            )
        return jnp.asarray(images, jnp.result_type(float))

    def decode(self, x: ArrayLike) -> Array:
        """x as it is, values that are not finite included."""
        return self.check_x(x)
