"""Observations: their adjoints, what they do to images, and what is refused."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from scoresde import observations
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "guidance"
RNG = np.random.default_rng(3)
KERNEL = RNG.normal(size=(3, 5))
IMAGES = RNG.normal(size=(3, 8, 8, 3))
MASK = {"mask": RNG.uniform(size=(3, 8, 8)) > 0.4}
LINEAR = {
    "matrix": (observations.Matrix(matrix=RNG.normal(size=(7, 192))), None),
    "compressed_sensing": (observations.CompressedSensing(measurements=11, seed=4), None),
    "inpainting": (observations.Inpainting(), MASK),
    "super_resolution": (observations.SuperResolution(factor=4), None),
    "blur": (observations.Blur(std=0.8), None),
    "blur with a kernel": (observations.Blur(kernel=KERNEL), None),
    "motion_blur": (observations.MotionBlur(size=5, seed=1), None),
    "colorization": (observations.Colorization(), None),
}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", LINEAR)
def test_the_adjoint_has_the_products_of_the_observation(name):
    observation, condition = LINEAR[name]
    x = jnp.asarray(IMAGES)
    y = observation.forward(x, condition)
    v = jnp.asarray(RNG.normal(size=y.shape))
    back = observation.adjoint(v, x.shape, condition)
    axes = tuple(range(1, y.ndim))
    np.testing.assert_allclose(
        jnp.sum(y * v, axes), jnp.sum(x * back, (1, 2, 3)), rtol=1e-12, atol=1e-12
    )
    assert observation.linear and back.shape == x.shape


def test_every_linear_member_has_its_adjoint_tested():
    linear = {k for k, kind in observations.OBSERVATIONS.items() if kind.linear}
    assert linear <= LINEAR.keys()


def test_colors_are_rotated_as_in_the_original_code():
    golden = np.load(GOLDEN / "color_decoupling.npz")
    x = jnp.asarray(golden["x_nhwc"])
    decoupled = observations.decouple(x)
    np.testing.assert_allclose(decoupled, golden["decoupled"], atol=1e-12)
    np.testing.assert_allclose(observations.couple(decoupled), x, atol=1e-12)
    gray = observations.decouple(jnp.asarray(golden["gray_nhwc"]))
    np.testing.assert_allclose(gray, golden["gray_decoupled"], atol=1e-12)
    y = observations.Colorization().forward(x)
    np.testing.assert_allclose(y[..., 0], 3**0.5 * x.mean(-1), atol=1e-12)


def test_a_blur_is_a_convolution_of_each_channel():
    y = observations.Blur(kernel=KERNEL).forward(jnp.asarray(IMAGES))
    for channel in range(3):
        expected = ndimage.convolve(IMAGES[0, ..., channel], KERNEL, mode="constant")
        np.testing.assert_allclose(y[0, ..., channel], expected, atol=1e-12)


def test_super_resolution_is_of_means_and_inpainting_of_pixels():
    y = observations.get("super_resolution", factor=4).forward(jnp.asarray(IMAGES))
    np.testing.assert_allclose(y[1, 0, 1], IMAGES[1, :4, 4:].mean((0, 1)), atol=1e-12)
    inpainting = observations.get("inpainting")
    y = inpainting.forward(jnp.asarray(IMAGES), MASK)
    np.testing.assert_array_equal(y, np.where(MASK["mask"][..., None], IMAGES, 0))
    unseen = jnp.where(MASK["mask"][..., None], y, jnp.nan)
    assert (inpainting.residual(unseen, jnp.asarray(IMAGES), MASK) == 0).all()


def test_phases_are_lost_and_magnitudes_kept():
    observation = observations.get("phase_retrieval")
    y = observation.forward(jnp.asarray(IMAGES))
    turned = observation.forward(-jnp.asarray(IMAGES[:, ::-1, ::-1]))
    np.testing.assert_allclose(y, turned, atol=1e-9)
    np.testing.assert_allclose((y**2).sum(), (IMAGES**2).sum(), rtol=1e-9)
    gradient = jax.grad(lambda x: observation.forward(x).sum())(jnp.zeros((1, 4, 4, 1)))
    assert jnp.isfinite(gradient).all()


def test_noise_is_one_key_a_sample_and_has_its_standard_deviation():
    observation = observations.Matrix(matrix=np.eye(2), noise=np.array([0.1, 2.0]))
    x, key = jnp.zeros((4000, 2)), jax.random.key(0)
    y = observation.observe(key, x)
    np.testing.assert_allclose(y.std(axis=0), [0.1, 2.0], rtol=0.05)
    np.testing.assert_array_equal(y[:3], observation.observe(key, x[:3]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: observations.get("blurr"), "Unknown observation 'blurr'. Did you mean 'blur'"),
        (lambda: observations.get("blur", noise=-0.1), "not negative, not -0.1"),
        (lambda: observations.get("blur", noise=float("nan")), "finite"),
        (lambda: observations.get("blur", noise="much"), "standard deviation, not 'much'"),
        (lambda: observations.get("blur", std=0.0), "std must be positive"),
        (lambda: observations.get("matrix"), "needs the option 'matrix'"),
        (lambda: observations.get("super_resolution", factor=0), "at least 1"),
        (lambda: observations.get("function", function=3), "given as 3"),
    ],
)
def test_what_cannot_be_made_is_a_line(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "observation, condition, message",
    [
        (observations.Matrix(matrix=np.eye(3)), None, r"size 192 take a matrix \[m, 192\]"),
        (observations.SuperResolution(factor=3), None, "3 does not divide the 8x8"),
        (observations.Inpainting(), {"mask": np.ones((3, 4, 4))}, r"\(3, 4, 4\), the samples"),
        (observations.Inpainting(), None, "reads 'mask' of the condition"),
        (observations.Blur(kernel=np.ones((2, 2))), None, "both odd"),
    ],
)
def test_what_is_not_for_these_images_is_a_line(observation, condition, message):
    with pytest.raises(UsageError, match=message):
        observation.forward(jnp.asarray(IMAGES), condition)


def test_what_is_not_linear_or_has_no_colors_is_said_so():
    with pytest.raises(UsageError, match="is not linear"):
        observations.PhaseRetrieval().adjoint(jnp.zeros((1, 4, 4, 1)), (1, 2, 2, 1))
    with pytest.raises(UsageError, match="three channels"):
        observations.Colorization().forward(jnp.zeros((1, 4, 4, 1)))
    with pytest.raises(UsageError, match="function gives the shape"):
        observations.Function(function=jnp.sum).forward(jnp.zeros((2, 2)))
