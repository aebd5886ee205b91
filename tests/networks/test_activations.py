"""The activations that are written out: JAX's, to rounding, and so their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import layers


@pytest.mark.parametrize("name", ["swish", "relu"])
def test_they_are_jaxs(name):
    x = jnp.array([-np.inf, -200.0, -3.0, -1e-30, 0.0, 1e-30, 0.5, 88.0, 3e38, np.inf, np.nan])
    mine, theirs = layers.ACTIVATIONS[name], getattr(jax.nn, name)
    np.testing.assert_array_equal(mine(x), theirs(x))
    ways = (jax.vmap(jax.grad(f))(x[1:-2]) for f in (mine, theirs))
    np.testing.assert_array_equal(*ways)
    assert mine(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
