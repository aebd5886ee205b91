"""Data that are no images, and codecs of one's own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import codecs
from scoresde.registry import UsageError

POINTS = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doubled(codecs.Codec):
    """`test_identity_codec:Doubled`: a latent space of two channels a pixel."""

    image_shape: tuple[int, ...]
    bins: int
    scale: float = 1.0

    @property
    def shape(self):
        return (*self.image_shape[:-1], 2 * self.image_shape[-1])

    def encode(self, key, images):
        self.check_images(images)
        return self.scale * jnp.concatenate([images, images], axis=-1)

    def decode(self, x):
        return (self.check_x(x)[..., : self.image_shape[-1]] / self.scale).astype(jnp.uint8)


@pytest.mark.parametrize("compiled", [False, True])
def test_x_are_the_values_themselves(compiled):
    codec = codecs.get("identity", image_shape=(2,), bins=None)
    assert codec.shape == (2,)
    assert codec.bins is codec.data_range is codec.bin_range is codec.level_range is None
    encode, decode = (
        map(jax.jit, (codec.encode, codec.decode))
        if compiled
        else (
            codec.encode,
            codec.decode,
        )
    )
    x = encode(None, POINTS)
    assert x.dtype == jnp.float32
    np.testing.assert_array_equal(x, POINTS)
    np.testing.assert_array_equal(decode(x), POINTS)
    np.testing.assert_array_equal(encode(None, POINTS[:1]), POINTS[:1])


def test_points_that_are_not_finite_stay_so_and_are_counted():
    codec = codecs.get("identity", image_shape=(2,))
    x = np.array([[0, 1], [np.nan, 1], [0, np.inf]])
    np.testing.assert_array_equal(codec.decode(x), x)
    np.testing.assert_array_equal(codec.unfinished(x), [False, True, True])


def test_images_are_refused():
    with pytest.raises(UsageError, match="images of 256 levels; use the codec 'images'") as error:
        codecs.get("identity", image_shape=(8, 8, 1), bins=256)
    assert "\n" not in str(error.value)
    codec = codecs.get("identity", image_shape=(2,))
    for images, message in (
        (np.zeros((3, 2), np.uint8), "real numbers, not uint8"),
        (np.zeros((3, 3)), r"shape \[batch, 2\], not \[3, 3\]"),
    ):
        with pytest.raises(UsageError, match=message):
            codec.encode(None, images)


def test_a_codec_of_ones_own_says_the_shape_of_its_x():
    name = f"{__name__}:Doubled"
    codec = codecs.get(name, image_shape=(4, 4, 1), bins=17, scale=0.5)
    images = np.random.default_rng(0).integers(0, 17, (3, 4, 4, 1), dtype=np.uint8)
    x = codec.encode(None, images)
    assert x.shape == (3, *codec.shape) == (3, 4, 4, 2)
    np.testing.assert_array_equal(codec.decode(x), images)
    assert codec.bin_range is None and not codec.unfinished(x).any()
    with pytest.raises(UsageError, match=r"Unknown codec 'image'.*Did you mean 'images'"):
        codecs.get("image", image_shape=(4, 4, 1))
