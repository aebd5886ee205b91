"""A tiny flow, with parameters far from the identity."""

import jax
import numpy as np
import pytest

from scoresde.networks import dequantizer_network

SHAPE = (2, 2, 2)


@pytest.fixture(scope="session")
def network():
    return dequantizer_network(
        couplings=2,
        filters=4,
        blocks=1,
        components=2,
        context_channels=4,
        context_blocks=1,
        heads=2,
    )


@pytest.fixture(scope="session")
def moved(network):
    """Parameters for SHAPE of a flow that does something."""
    params = network.init(jax.random.key(0), SHAPE)
    generator = np.random.default_rng(1)
    return jax.tree.map(lambda p: p + 0.1 * generator.normal(size=p.shape).astype("f"), params)
