"""Images to x and back: exactly the same images, whatever the codec, the batch and the devices."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import codecs
from scoresde.keys import sample_keys
from scoresde.registry import UsageError

RANGES = [(-1.0, 1.0), (0.0, 1.0)]
LEVELS = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 256, 1, 1), (2, 1, 1, 1))


def make(image_shape=(256, 1, 1), **options):
    return codecs.get("images", image_shape=image_shape, **options)


@pytest.mark.parametrize("dequantize", [False, True])
@pytest.mark.parametrize("data_range", RANGES)
def test_decode_inverts_encode_for_any_number_of_bins(key, data_range, dequantize):
    for bins in range(2, 257):
        codec = make(bins=bins, data_range=data_range, dequantize=dequantize)
        images = np.minimum(LEVELS, bins - 1)
        x = codec.encode(key, images)
        assert x.shape == (2, *codec.shape) and x.dtype == jnp.float32
        back = codec.decode(x)
        assert back.dtype == jnp.uint8
        np.testing.assert_array_equal(back, images)


def test_decode_inverts_encode_within_a_compiled_program(key):
    made = [
        make(bins=bins, data_range=data_range, dequantize=dequantize)
        for bins in (17, 256)
        for data_range in RANGES
        for dequantize in (False, True)
    ]

    @jax.jit
    def run(made, key, images):
        images = [jnp.minimum(images, codec.bins - 1) for codec in made]
        x = [codec.encode(key, given) for codec, given in zip(made, images)]
        return [(given, codec.decode(x)) for codec, given, x in zip(made, images, x)]

    for images, back in run(made, key, LEVELS):
        np.testing.assert_array_equal(back, images)


@pytest.mark.parametrize("data_range", RANGES)
def test_x_lies_where_the_ranges_say(key, data_range):
    low, high = data_range
    images = np.array([0, 16], np.uint8).reshape(1, 2, 1, 1)
    options = {"image_shape": (2, 1, 1), "bins": 17, "data_range": data_range}
    plain, noisy = make(**options), make(**options, dequantize=True)
    assert plain.level_range == plain.bin_range == noisy.bin_range == data_range
    np.testing.assert_allclose(plain.encode(None, images).ravel(), data_range, rtol=1e-6)

    width = (high - low) / 17
    assert noisy.level_range == pytest.approx((low + width / 2, high - width / 2))
    many = np.broadcast_to(images, (4000, 2, 1, 1))
    ends = np.asarray(noisy.encode(key, many), np.float64).reshape(-1, 2)
    for column, center in zip(ends.T, noisy.level_range):
        assert abs(column - center).max() < width / 2
        assert abs(column.mean() - center) < 4 * width / np.sqrt(12 * 4000)
        assert column.std() == pytest.approx(width / np.sqrt(12), rel=0.05)


def test_a_batch_is_encoded_as_its_images_one_by_one(key):
    images = np.random.default_rng(0).integers(0, 17, (6, 3, 2, 1), dtype=np.uint8)
    codec = make((3, 2, 1), bins=17, dequantize=True)
    keys = sample_keys(key, 6)
    together = codec.encode(keys, images)
    np.testing.assert_array_equal(together, codec.encode(key, images))
    for i in range(6):
        alone = codec.encode(keys[i : i + 1], images[i : i + 1])
        np.testing.assert_array_equal(alone[0], together[i])


def test_a_batch_over_eight_devices_has_the_same_bits():
    code = """
        import jax, numpy as np
        from scoresde import codecs, training
        from scoresde.keys import sample_keys
        mesh = training.make_mesh()
        assert mesh.size == 8
        images = np.random.default_rng(0).integers(0, 17, (16, 3, 2, 1), dtype=np.uint8)
        codec = codecs.get("images", image_shape=(3, 2, 1), bins=17, dequantize=True)
        keys = sample_keys(jax.random.key(0), 16)
        put = lambda array: jax.device_put(array, training.batch_sharding(mesh))
        run = jax.jit(codec.encode)
        x, spread = run(keys, images), run(put(keys), put(images))
        assert len(spread.sharding.device_set) == 8
        np.testing.assert_array_equal(spread, x)
        np.testing.assert_array_equal(jax.jit(codec.decode)(spread), images)
        """
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_samples_become_the_nearest_level_or_that_of_their_bin():
    x = jnp.array([-1.2, -0.94, -0.93, 0.0, 0.99, 1.2]).reshape(6, 1, 1, 1)
    plain = make((1, 1, 1), bins=17)  # levels at -1, -0.875, ..., 1
    np.testing.assert_array_equal(plain.decode(x).ravel(), [0, 0, 1, 8, 16, 16])
    noisy = make((1, 1, 1), bins=17, dequantize=True)  # bins that end at -0.882, -0.765, ...
    np.testing.assert_array_equal(noisy.decode(x).ravel(), [0, 0, 0, 8, 16, 16])


def test_records_of_samples_are_decoded_like_samples():
    x = jax.random.normal(jax.random.key(0), (3, 2, 4, 4, 1))
    codec = make((4, 4, 1), bins=256)
    together = codec.decode(x)
    np.testing.assert_array_equal(together, np.stack([codec.decode(part) for part in x]))
    assert codec.unfinished(x).shape == (3, 2) and codec.decode(x[0, 0]).shape == (4, 4, 1)


@pytest.mark.parametrize("dequantize", [False, True])
def test_samples_that_are_not_finite_are_counted_and_never_black(dequantize):
    codec = make((2, 1, 1), bins=256, dequantize=dequantize)
    x = np.full((4, 2, 1, 1), 0.5, np.float32)
    x[1, 0], x[2, 1], x[3, 0] = np.nan, np.inf, -np.inf
    for unfinished, decode in (
        (codec.unfinished, codec.decode),
        (jax.jit(codec.unfinished), jax.jit(codec.decode)),
    ):
        np.testing.assert_array_equal(unfinished(x), [False, True, True, True])
        images = decode(x)
        assert images[1, 0, 0, 0] == 128 and images[2, 1, 0, 0] == 255 and images[3, 0, 0, 0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bins": None}, r"needs images .* real numbers \(bins=None\); use the codec 'identity'"),
        ({"bins": 257}, "bins must be 2 .. 256"),
        ({"data_range": (1, -1)}, "low < high"),
        ({"levels": 17}, "no option 'levels'.*Its options: image_shape, bins"),
    ],
)
def test_what_is_no_range_of_images_is_refused(options, message):
    with pytest.raises(UsageError, match=message) as error:
        make(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), "integer levels 0 .. 16, got float32"),
        (np.full((2, 4, 4, 1), 17, np.uint8), "levels 17 .. 17, but 17 bins"),
        (np.zeros((4, 4, 1), np.uint8), r"shape \[batch, 4, 4, 1\], not \[4, 4, 1\]"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"not \[2, 4, 4, 3\]"),
    ],
)
def test_data_that_are_not_its_images_are_refused(key, images, message):
    for dequantize in (False, True):
        codec = make((4, 4, 1), bins=17, dequantize=dequantize)
        with pytest.raises(UsageError, match=message) as error:
            codec.encode(key, images)
        assert "\n" not in str(error.value)
    with pytest.raises(UsageError, match=r"x of shape \[..., 4, 4, 1\], not \[2, 4\]"):
        codec.decode(np.zeros((2, 4)))
