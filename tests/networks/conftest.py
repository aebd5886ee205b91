"""A small NCSN++ with every weight away from zero, so that nothing hides behind an initializer."""

import jax
import numpy as np
import pytest

from scoresde import networks

IMAGE_SHAPE = (8, 8, 3)
SMALL = {
    "nf": 8,
    "ch_mult": (1,),
    "num_res_blocks": 1,
    "attn_resolutions": (),
    "dropout": 0.0,
}


@pytest.fixture(scope="session")
def small():
    """`small(name, **options)` builds a network of 8x8x3 images in seconds."""
    return lambda name="ncsnpp", **options: networks.get(name, **SMALL | options)


@pytest.fixture(scope="session")
def randomized():
    """`randomized(network)` draws parameters of which none is zero, of trained networks' size."""

    def draw(network, image_shape=IMAGE_SHAPE):
        generator = np.random.default_rng(0)
        shapes = network.parameter_shapes(image_shape)
        return jax.tree.map(
            lambda s: (
                generator.standard_normal(s.shape, np.float32)
                / np.sqrt(max(1, np.prod(s.shape[:-1])))
            ),
            shapes,
        )

    return draw


@pytest.fixture(scope="session")
def images():
    """Three images [3, 8, 8, 3] and noise levels [3]."""
    generator = np.random.default_rng(1)
    x = generator.standard_normal((3, *IMAGE_SHAPE), np.float32)
    return x, np.array([0.02, 0.7, 30.0], np.float32)
