"""NCSN and NCSNv2: sizes, their normalization, and how they see the noise level."""

import jax
import numpy as np
import pytest

from scoresde import networks
from scoresde.networks.ncsn import InstanceNorm2dPlus
from scoresde.registry import UsageError


def test_instance_norm_plus_is_its_definition():
    x = np.random.default_rng(0).normal(2.0, 3.0, (2, 4, 5, 6)).astype(np.float32)
    layer = InstanceNorm2dPlus(num_scales=3)
    level = np.array([2, 0])
    params = layer.init(jax.random.key(0), x, level)["params"]
    assert {name: leaf.shape for name, leaf in params.items()} == dict.fromkeys(
        ("alpha", "beta", "gamma"), (3, 1, 1, 6)
    )
    params = jax.tree.map(lambda leaf: leaf + np.arange(3).reshape(3, 1, 1, 1), params)
    for sample, index, output in zip(x, level, layer.apply({"params": params}, x, level)):
        mean = sample.mean(axis=(0, 1))
        standard = (sample - mean) / np.sqrt(sample.var(axis=(0, 1)) + 1e-5)
        relation = (mean - mean.mean()) / np.sqrt(mean.var() + 1e-5)
        alpha, beta, gamma = (np.asarray(params[name])[index, 0, 0] for name in sorted(params))
        expected = gamma * (standard + alpha * relation) + beta
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-4)


def test_ncsnv2_knows_sigma_only_as_a_divisor(randomized, images):
    """Given as itself; the table that a level's number stands for: tests/pretrained."""
    sigma = np.array([10.0, 1.0, 0.1], np.float32)
    x = np.repeat(images[0][:1], 3, axis=0)
    network = networks.get("ncsnv2", nf=4, continuous=True)
    output = jax.jit(network.apply)(randomized(network), x, sigma)
    divided = output * sigma[:, None, None, None]
    np.testing.assert_allclose(divided, np.repeat(divided[:1], 3, axis=0), rtol=1e-4)


def test_wrong_options_are_refused():
    for options, message in (
        ({"resolution": 32}, "resolution=32 is not one of 64, 128, 256"),
        ({"interpolation": "cubic"}, "interpolation='cubic'"),
        ({"num_scales": 1}, "num_scales=1 must be an integer of at least 2"),
    ):
        with pytest.raises(UsageError, match=message):
            networks.get("ncsnv2", **options)
    with pytest.raises(UsageError, match="divisible by 2, but it is 9x8"):
        networks.get("ncsn").init(jax.random.key(0), (9, 8, 3))
