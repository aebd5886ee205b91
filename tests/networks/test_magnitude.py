"""Layers that preserve magnitudes: against EDM2's own numbers, and against what they promise."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import magnitude, resampling
from scoresde.networks.magnitude import MPFourier, MPLayer, mp_cat, mp_silu, mp_sum

GOLDEN = pathlib.Path(__file__).parent.parent / "data/golden/edm2_parts.npz"


@pytest.fixture(scope="module")
def golden():
    """`golden(name)` is an array, of images [batch, height, width, channels]."""
    with np.load(GOLDEN) as file:
        arrays = dict(file)
    return lambda name: arrays[name].transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    "name, compute",
    [
        ("mp_silu_a", lambda a, b, c: mp_silu(a)),
        ("mp_sum_a_c_0.3", lambda a, b, c: mp_sum(a, c, 0.3)),
        ("mp_cat_a_b_0.5", lambda a, b, c: mp_cat(a, b, 0.5)),
        ("mp_cat_a_b_0.3", lambda a, b, c: mp_cat(a, b, 0.3)),  # 0.3 of the skip b
        ("pixel_norm_a", lambda a, b, c: magnitude.rms_normalized(a, -1)),
        ("normalize_a", lambda a, b, c: magnitude.rms_normalized(a, (1, 2, 3))),
        ("pixel_norm_tiny_a", lambda a, b, c: magnitude.rms_normalized(1e-4 * a, -1)),
        ("down_a", lambda a, b, c: resampling.downsample(a, (1, 1))),
        ("up_a", lambda a, b, c: resampling.upsample(a, (1, 1))),
        ("down_a_1331", lambda a, b, c: resampling.downsample(a, (1, 3, 3, 1))),
        ("up_a_1331", lambda a, b, c: resampling.upsample(a, (1, 3, 3, 1))),
    ],
)
def test_operations_are_the_originals(golden, name, compute):
    inputs = [golden(f"{letter}_nchw") for letter in "abc"]
    np.testing.assert_allclose(compute(*inputs), golden(name), rtol=1e-6, atol=1e-6)


def rms(x):
    return float(jnp.sqrt(jnp.mean(jnp.square(x))))


def test_operations_keep_the_magnitude_of_independent_unit_normals():
    a, b = (jax.random.normal(jax.random.key(i), (64, 8, 8, n)) for i, n in ((0, 16), (1, 48)))
    assert rms(mp_silu(a)) == pytest.approx(1, abs=0.01)
    for t in (0.1, 0.5):
        assert rms(mp_sum(a, b[..., :16], t)) == pytest.approx(1, abs=0.01)
        joined = mp_cat(a, b, t)
        assert rms(joined) == pytest.approx(1, abs=0.01)
        # The shares are those of the two inputs, whatever their channels.
        energies = [float(jnp.sum(part**2)) for part in (joined[..., :16], joined[..., 16:])]
        assert energies[1] / energies[0] == pytest.approx((t / (1 - t)) ** 2, rel=0.02)
    waves = MPFourier(64).init_with_output(jax.random.key(2), jnp.linspace(-1, 1, 64))[0]
    assert rms(waves) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("size", [None, 1, 3])
def test_a_layer_keeps_the_magnitude_whatever_its_weights_are(size):
    """Inside of the image: at its border the zeros around it count."""
    layer = MPLayer(24, size)
    x = jax.random.normal(jax.random.key(0), (64, 6, 6, 16))
    outputs = []
    for scale in (1.0, 37.0):
        params = layer.init(jax.random.key(1), x)["params"]
        params = jax.tree.map(lambda leaf, s=scale: s * leaf, params)
        outputs.append(layer.apply({"params": params}, x)[:, 1:-1, 1:-1])
    assert rms(outputs[0]) == pytest.approx(1, abs=0.03)
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-3)
    half = layer.apply({"params": params}, x, 0.5)[:, 1:-1, 1:-1]
    np.testing.assert_allclose(half, outputs[1] / 2, rtol=1e-5, atol=1e-6)


def test_to_normalize_twice_is_not_to_normalize_once():
    """What is added to the norm is left over: a rewritten weight is 1e-4 short of unit size."""
    rows = jax.random.normal(jax.random.key(0), (3, 3, 8, 5))
    once = magnitude.normalized_rows(rows)
    twice = magnitude.normalized_rows(once)
    sizes = jnp.sqrt(jnp.mean(once**2, axis=(0, 1, 2)))
    np.testing.assert_allclose(sizes, 1, atol=2e-4)
    assert float(jnp.max(jnp.abs(sizes - 1))) > 5e-5
    assert not np.allclose(once, twice, atol=1e-5)


def test_no_gradient_reaches_the_frequencies():
    waves = MPFourier(8)
    params = waves.init(jax.random.key(0), jnp.ones(2))
    gradient = jax.grad(lambda p: jnp.sum(waves.apply(p, jnp.ones(2))))(params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(gradient))
