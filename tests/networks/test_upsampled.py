"""The convolution of an upsampled map from the map itself, against upsampling and convolving."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import layers, resampling
from scoresde.networks.upsampled import convolve_upsampled
from scoresde.registry import UsageError


def in_two_steps(x, kernel):
    """As its definition says."""
    x = resampling.upsample(x, (1, 1))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=layers.LAYOUT)


def arrays(shape, features=4, dtype=np.float32):
    random = np.random.default_rng(0)
    x, dx = random.normal(size=(2, *shape))
    kernel, dkernel = random.normal(size=(2, 3, 3, shape[-1], features))
    return [jnp.asarray(array, dtype) for array in (x, kernel, dx, dkernel)]


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (3, 1, 1, 2), (1, 1, 5, 1)])
def test_it_is_the_convolution_and_so_are_its_derivatives(shape):
    with jax.enable_x64(True):
        x, kernel, dx, dkernel = arrays(shape, dtype=np.float64)

        @jax.jit
        def everything(x, kernel):
            found = []
            for function in (convolve_upsampled, in_two_steps):
                y, dy = jax.jvp(function, (x, kernel), (dx, dkernel))
                _, back = jax.vjp(function, x, kernel)
                found.append([y, dy, *back(jnp.sin(jnp.arange(y.size)).reshape(y.shape))])
            return found

        for ours, theirs in zip(*everything(x, kernel), strict=True):
            assert ours.shape == theirs.shape and ours.dtype == np.float64
            np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_sums_of_taps_are_rounded_once():
    """In bfloat16 it is no farther from the exact result than the convolution in two steps."""
    x, kernel, *_ = arrays((8, 8, 8, 32), 32)
    small = x.astype(jnp.bfloat16)
    exact = in_two_steps(small.astype(jnp.float32), kernel)
    assert convolve_upsampled(small, kernel).dtype == jnp.bfloat16

    def error(y):
        return float(jnp.sqrt(jnp.mean(jnp.square(y.astype(jnp.float32) - exact))))

    rounded = in_two_steps(small, kernel.astype(jnp.bfloat16))
    assert error(convolve_upsampled(small, kernel)) < 1.01 * error(rounded)


@pytest.mark.parametrize("narrow, size", [(jnp.bfloat16, 1.0), (jnp.float16, 6e4)])
def test_sums_of_narrow_taps_are_neither_rounded_nor_too_large(narrow, size):
    x, kernel, *_ = arrays((2, 4, 4, 3))
    kernel = (size * jnp.tanh(kernel)).astype(narrow)
    expected = in_two_steps(x, kernel.astype(x.dtype))
    np.testing.assert_allclose(convolve_upsampled(x, kernel), expected, rtol=1e-5, atol=1e-5 * size)


def test_no_sample_is_an_empty_map():
    x, kernel, *_ = arrays((0, 4, 4, 3))
    assert convolve_upsampled(x, kernel).shape == (0, 8, 8, 4)


def test_a_sample_is_the_same_in_any_batch():
    x, kernel, *_ = arrays((5, 4, 4, 3))
    together = convolve_upsampled(x, kernel)
    apart = [convolve_upsampled(x[i : i + 1], kernel) for i in range(5)]
    np.testing.assert_allclose(together, np.concatenate(apart), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "option, words",
    [
        ({"size": 5}, "not with 5x5"),
        ({"stride": 2}, "no stride"),
        ({"padding": "VALID"}, "padding"),
    ],
)
def test_what_it_does_not_compute_is_refused(option, words):
    with pytest.raises(UsageError, match=words):
        layers.Conv(2, upsampled=True, **option).init(jax.random.key(0), jnp.ones((1, 4, 4, 3)))


def test_a_layer_has_the_parameters_of_the_convolution():
    x = jnp.ones((1, 4, 4, 3))
    of_small, of_large = layers.Conv(5, upsampled=True), layers.Conv(5)
    params = of_large.init(jax.random.key(0), resampling.upsample(x, (1, 1)))
    same = of_small.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, params, same)
    y = of_small.apply(params, x)
    np.testing.assert_allclose(
        y, of_large.apply(params, resampling.upsample(x, (1, 1))), rtol=1e-5, atol=1e-6
    )
