"""JPEG against the files that Pillow writes of the bundled images, and its derivative."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from scoresde import data, observations
from scoresde.observations.jpeg_tables import quantization_table
from scoresde.registry import UsageError

EMOJI = data.get("emoji32").splits["test"].images[:24]
IMAGES = {
    "color": EMOJI,
    "of odd size": EMOJI[:, :27, :21],
    "gray": np.round(data.get("digits").splits["test"].images[:24] * (255 / 16)).astype(np.uint8),
}


def pillow(image, quality, subsampling):
    """A picture from a JPEG file of `image`, and the file's tables."""
    file = io.BytesIO()
    picture = Image.fromarray(image if image.shape[2] == 3 else image[..., 0])
    picture.save(file, "JPEG", quality=quality, subsampling=subsampling)
    with Image.open(file) as picture:
        return np.asarray(picture).reshape(image.shape), picture.quantization


@jax.jit
def forward(observation, x):
    return observation.forward(x)


@jax.jit
def pushed(observation, x, v):
    return jax.jvp(observation.forward, (x,), (v,))[1]


def ours(images, **options):
    """Levels, 0 .. 255."""
    jpeg = observations.get("jpeg", data_range=(0.0, 1.0), **options)
    return 255 * np.asarray(forward(jpeg, jnp.asarray(images / 255, jnp.float32)))


@pytest.mark.parametrize("quality", [75])
@pytest.mark.parametrize("name", IMAGES)
def test_an_image_comes_back_as_of_a_file_but_for_a_part_of_what_the_file_loses(name, quality):
    images, errors = IMAGES[name], {}
    for number, subsampling, part in ((0, "4:4:4", 0.05), (2, "4:2:0", 0.1)):
        files = np.stack([pillow(image, quality, number)[0] for image in images]).astype(float)
        decoded = ours(images, quality=quality, subsampling=subsampling)
        errors[subsampling] = lost = np.abs(files - images).mean()
        assert np.abs(decoded - files).mean() < part * lost
        assert np.median(np.abs(decoded - files)) < 1e-3
        np.testing.assert_allclose(decoded, np.round(decoded), atol=1e-3)
    assert (errors["4:2:0"] > errors["4:4:4"]) == (images.shape[3] == 3)


def test_the_tables_are_those_of_a_file_of_any_quality():
    for quality in range(1, 101):
        _, tables = pillow(EMOJI[0, :8, :8], quality, 0)
        for number in (0, 1):
            expected = np.reshape(tables[number], (8, 8))
            np.testing.assert_array_equal(quantization_table(quality, bool(number)), expected)


def test_the_derivative_is_straight_through_and_of_subsampled_colors_a_low_pass():
    x = jnp.asarray(EMOJI[:2] / 127.5 - 1, jnp.float32)
    v = jax.random.normal(jax.random.key(0), x.shape)
    jpeg = observations.JPEG(quality=20)
    np.testing.assert_allclose(pushed(jpeg, x, v), v, atol=1e-5)
    jpeg = observations.JPEG(quality=20, subsampling="4:2:0")
    gray = v[..., :1] * jnp.ones(3)
    np.testing.assert_allclose(pushed(jpeg, x, gray), gray, atol=1e-5)
    colors = v - v.mean(-1, keepdims=True)
    assert jnp.abs(pushed(jpeg, x, colors)).mean() < 0.5 * jnp.abs(colors).mean()


def test_a_batch_is_its_images_one_by_one():
    jpeg, x = observations.JPEG(quality=10), jnp.asarray(EMOJI[:3] / 127.5 - 1, jnp.float32)
    y = forward(jpeg, x)
    alone = jnp.concatenate([forward(jpeg, x[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(alone, y, atol=1e-6)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"quality": 0}, "quality must be 1 .. 100, got 0"),
        ({"quality": 7.5}, "must be an integer"),
        ({"subsampling": "4:2:2"}, "Unknown subsampling of JPEG '4:2:2'"),
        ({"data_range": (1, -1)}, "low < high"),
    ],
)
def test_what_cannot_be_made_is_a_line(options, message):
    with pytest.raises(UsageError, match=message) as error:
        observations.get("jpeg", **options)
    assert "\n" not in str(error.value)


def test_images_of_two_channels_are_refused():
    with pytest.raises(UsageError, match="gray or RGB"):
        observations.JPEG().forward(jnp.zeros((1, 8, 8, 2)))
