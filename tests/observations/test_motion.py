"""Blurs along a random path: one operator a seed, linear or of light."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from scoresde import observations
from scoresde.registry import UsageError

X = jax.random.uniform(jax.random.key(0), (3, 12, 12, 3), minval=-1, maxval=1)


@pytest.mark.parametrize("size, bend, seed", [(9, 0.5, 0), (7, 0.0, 3), (1, 0.5, 1), (31, 2.0, 2)])
def test_a_kernel_is_a_path_as_large_as_itself(size, bend, seed):
    kernel = observations.motion_kernel(size, bend, seed)
    assert kernel.shape == (size, size) and (kernel >= 0).all()
    assert kernel.sum() == pytest.approx(1)
    long_side = max(kernel.any(axis=axis).sum() for axis in (0, 1))
    assert long_side == size  # from one edge to the other
    assert ndimage.label(kernel > 0, np.ones((3, 3)))[1] == 1  # in one piece
    assert size == 1 or (kernel > 0).mean() < 0.6


def test_a_seed_is_one_operator_at_every_call_and_another_seed_another_one():
    for name in ("motion_blur", "nonlinear_blur"):
        first, again, other = (observations.get(name, seed=seed) for seed in (5, 5, 6))
        np.testing.assert_array_equal(first.forward(X), first.forward(X))
        np.testing.assert_array_equal(first.forward(X), again.forward(X))
        assert jnp.abs(first.forward(X) - other.forward(X)).max() > 0.05


def test_motion_blur_is_a_blur_with_its_kernel():
    kernel = observations.motion_kernel(5, 0.7, 4)
    blur = observations.Blur(kernel=kernel)
    motion = observations.MotionBlur(size=5, bend=0.7, seed=4)
    np.testing.assert_allclose(motion.forward(X), blur.forward(X), atol=1e-6)


def light(x, contrast, low=-1.0, high=1.0):
    """The operator as its docstring has it, of one channel."""
    kernel = observations.motion_kernel(5, 0.5, 2)
    u = (np.asarray(x, np.float64) - low) / (high - low)
    blurred = ndimage.convolve(np.exp(contrast * u), kernel, mode="nearest")
    return low + (high - low) * np.log(blurred) / contrast


@pytest.mark.parametrize("contrast", [0.5, 50.0])
def test_nonlinear_blur_is_the_logarithm_of_blurred_light(contrast):
    blur = observations.NonlinearBlur(contrast=contrast, size=5, seed=2)
    y = blur.forward(X)
    np.testing.assert_allclose(y[1, ..., 2], light(X[1, ..., 2], contrast), atol=1e-4)
    np.testing.assert_allclose(blur.forward(X[1:2])[0], y[1], atol=1e-6)  # of the image alone
    np.testing.assert_allclose(blur.forward(jnp.full((1, 9, 9, 1), 3.0)), 3.0, atol=1e-5)
    gradient = jax.grad(lambda x: blur.forward(x).sum())(X)
    assert jnp.isfinite(gradient).all() and (gradient >= 0).all()  # brighter is brighter


def test_the_brightest_of_an_image_is_an_exact_part_of_its_derivative():
    """It is only in the way for numbers' sake."""
    blur = observations.NonlinearBlur(size=3)
    v = jax.random.normal(jax.random.key(1), X.shape)
    _, slope = jax.jvp(blur.forward, (X,), (v,))
    step = 1e-2
    numeric = (blur.forward(X + step * v) - blur.forward(X - step * v)) / (2 * step)
    np.testing.assert_allclose(slope, numeric, atol=2e-3)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("motion_blur", {"size": 4}, "odd and positive, got 4"),
        ("motion_blur", {"bend": -1.0}, "bend must not be negative"),
        ("motion_blur", {"seed": -1}, "seed must not be negative"),
        ("nonlinear_blur", {"contrast": 0.0}, "contrast must be positive"),
        ("nonlinear_blur", {"contrast": "much"}, "must be a number, not 'much'"),
    ],
)
def test_what_cannot_be_made_is_a_line(name, options, message):
    with pytest.raises(UsageError, match=message):
        observations.get(name, **options)
