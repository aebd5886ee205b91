"""Distances between two sets of samples, for data whose true distribution can be drawn from.

Both are computed between finite sets, so two sets of exact samples are not at distance zero: that
value, the noise floor, is what a sampler's distance is to be compared with.
"""

import jax
import jax.numpy as jnp
from jax import Array


def sliced_wasserstein(key: Array, x: Array, y: Array, *, projections: int = 256) -> Array:
    """The sliced Wasserstein-2 distance (Bonneel et al. 2015), a scalar in the units of x.

    The root mean square over random directions of the distance between the sorted projections.

    Args:
        key: for the directions; the same key compares two pairs of sets along the same ones.
        x: samples, [n, ...].
        y: as many samples of the same shape.
        projections: number of directions.
    """
    x, y = jnp.reshape(x, (len(x), -1)), jnp.reshape(y, (len(y), -1))
    directions = jax.random.normal(key, (x.shape[1], projections))
    directions /= jnp.linalg.norm(directions, axis=0)
    gap = jnp.sort(x @ directions, axis=0) - jnp.sort(y @ directions, axis=0)
    return jnp.sqrt(jnp.mean(gap**2))


def energy_distance(x: Array, y: Array, *, chunk: int = 1024) -> Array:
    """The squared energy distance (Szekely and Rizzo 2013), 2 E|x-y| - E|x-x'| - E|y-y'|, a scalar.

    The unbiased estimate, over pairs of distinct samples: its mean is zero for equal distributions.

    Args:
        x: samples, [n, ...].
        y: samples, [m, ...].
        chunk: rows compared at a time, which bounds memory to chunk * max(n, m).
    """
    x, y = jnp.reshape(x, (len(x), -1)), jnp.reshape(y, (len(y), -1))

    def total(a, b):
        def row_sum(row):
            return jnp.sum(jnp.sqrt(jnp.sum((row - b) ** 2, axis=1)))

        return jnp.sum(jax.lax.map(row_sum, a, batch_size=min(chunk, len(a))))

    n, m = len(x), len(y)
    between = total(x, y) / (n * m)
    return 2 * between - total(x, x) / (n * (n - 1)) - total(y, y) / (m * (m - 1))
