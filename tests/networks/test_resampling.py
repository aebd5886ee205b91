"""FIR resampling against its definition: zero-stuffing, padding, convolution, decimation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import resampling
from scoresde.registry import UsageError

upsample = jax.jit(resampling.upsample, static_argnums=1)
downsample = jax.jit(resampling.downsample, static_argnums=1)
KERNELS = [(1, 1), (1, 3, 3, 1), (1, 2, 3, 5, 4, 1)]


def convolve(image, kernel, before, after, gain=1.0):
    """The two-dimensional convolution of one channel [height, width], term by term."""
    taps = np.outer(kernel, kernel) / np.sum(kernel) ** 2 * gain
    taps, size = taps[::-1, ::-1], len(kernel)
    image = np.pad(image, (before, after))
    height, width = (n - size + 1 for n in image.shape)
    return np.array(
        [
            [np.sum(image[i : i + size, j : j + size] * taps) for j in range(width)]
            for i in range(height)
        ]
    )


def stuff(image):
    stuffed = np.zeros((2 * image.shape[0], 2 * image.shape[1]))
    stuffed[::2, ::2] = image
    return stuffed


@pytest.fixture
def x():
    return np.random.default_rng(0).standard_normal((2, 6, 4, 3), np.float32)


def per_channel(x, function):
    return np.stack(
        [np.stack([function(channel) for channel in image.T], -1).swapaxes(0, 1) for image in x]
    )


@pytest.mark.parametrize("kernel", KERNELS)
def test_upsampling_is_its_definition(x, kernel):
    lead = (len(kernel) - 1) // 2 + 1
    expected = per_channel(
        x, lambda c: convolve(stuff(c), kernel, lead, (len(kernel) - 2) // 2, gain=4)
    )
    np.testing.assert_allclose(upsample(x, kernel), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_downsampling_is_its_definition(x, kernel):
    before, after = (len(kernel) - 1) // 2, (len(kernel) - 2) // 2
    expected = per_channel(x, lambda c: convolve(c, kernel, before, after)[::2, ::2])
    np.testing.assert_allclose(downsample(x, kernel), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS[:2])
def test_an_odd_number_of_pixels_is_refused(kernel):
    with pytest.raises(UsageError, match="7x4 pixels cannot be halved"):
        resampling.downsample(jnp.ones((1, 7, 4, 3)), kernel)


def test_borders_of_a_constant():
    ones = jnp.ones((1, 8, 8, 1))
    up = upsample(ones)[0, :, :, 0]
    down = downsample(ones)[0, :, :, 0]
    np.testing.assert_allclose(up[2:-2, 2:-2], 1.0, rtol=1e-6)
    np.testing.assert_allclose(down[1:-1, 1:-1], 1.0, rtol=1e-6)
    np.testing.assert_allclose([up[0, 5], up[-1, -1]], [0.75, 0.5625], rtol=1e-6)
    np.testing.assert_allclose([down[0, 2], down[0, 0]], [0.875, 0.765625], rtol=1e-6)


def test_two_equal_taps_are_nearest_neighbors_and_means(x):
    np.testing.assert_allclose(
        upsample(x, (1, 1)), x.repeat(2, axis=1).repeat(2, axis=2), rtol=1e-6
    )
    means = x.reshape(2, 3, 2, 2, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(downsample(x, (1, 1)), means, atol=1e-6)


def test_up_and_down_are_each_others_adjoint_up_to_the_gain(x):
    y = np.random.default_rng(1).standard_normal((2, 12, 8, 3), np.float32)
    left = np.vdot(upsample(x), y)
    np.testing.assert_allclose(left, 4 * np.vdot(x, downsample(y)), rtol=1e-4)
    _, transpose = jax.vjp(upsample, jnp.asarray(x))
    np.testing.assert_allclose(transpose(y)[0], 4 * downsample(y), atol=1e-5)
    _, tangent = jax.jvp(upsample, (x,), (x,))
    np.testing.assert_allclose(tangent, upsample(x), rtol=1e-6)


def correlate_valid(x, weight, stride):
    height, width = ((n - 3) // stride + 1 for n in x.shape[1:3])
    out = np.zeros((len(x), height, width, weight.shape[-1]))
    for i in range(height):
        for j in range(width):
            patch = x[:, stride * i : stride * i + 3, stride * j : stride * j + 3]
            out[:, i, j] = np.einsum("bhwc,hwcd->bd", patch, weight)
    return out


@pytest.mark.parametrize("kernel", KERNELS[:2])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_the_convolution_with_a_filter_is_its_definition(x, kernel, direction):
    layer = resampling.Conv2d(5, direction, kernel)
    variables = layer.init(jax.random.key(0), x)
    weight = np.asarray(variables["params"]["weight"])
    if direction == "down":
        size = len(kernel)
        filtered = per_channel(x, lambda c: convolve(c, kernel, (size + 1) // 2, size // 2))
        expected = correlate_valid(filtered, weight, 2)
    else:
        stuffed = per_channel(x, lambda c: np.pad(stuff(c)[:-1, :-1], 2))
        border = len(kernel) // 2 - 1
        expected = per_channel(
            correlate_valid(stuffed, weight, 1),
            lambda c: convolve(c, kernel, border, border, gain=4),
        )
    np.testing.assert_allclose(layer.apply(variables, x), expected, atol=1e-5)
