"""Distances between two sets of samples, for data whose true distribution can be drawn from.

Both are computed between finite sets, so two sets of exact samples are not at distance zero: that
value, the noise floor, is what a sampler's distance is to be compared with.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.keys import one_key
from scoresde.meshes import automatic
from scoresde.plain import check_fields
from scoresde.registry import UsageError, first_line


def _rows(x: Array, y: Array, least: int) -> tuple[Array, Array]:
    """The samples of both sets, `least` of each at least, as rows: [n, d] and [m, d]."""
    try:
        x, y = (jnp.asarray(samples, jnp.result_type(float)) for samples in automatic((x, y)))
    except (TypeError, ValueError) as error:
        raise UsageError(
            "A distance is between two arrays of samples, as a sampler's .x is: "
            f"{first_line(error)}"
        ) from None
    if x.ndim < 2 or x.shape[1:] != y.shape[1:] or min(len(x), len(y)) < least:
        raise UsageError(
            "A distance is between two sets of samples of one shape, [n, ...] and [m, ...], with "
            f"at least {least} in each, got {x.shape} and {y.shape}."
        )
    return jnp.reshape(x, (len(x), -1)), jnp.reshape(y, (len(y), -1))


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} must be at least 1, got {value}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlicedWasserstein:
    """The sliced Wasserstein-2 distance (Bonneel et al. 2015), in the units of x.

    The root mean square over random directions of the distance between the sorted projections.

    Attributes:
        projections: number of directions.

    Raises:
        UsageError: there are none.
    """

    projections: int = 256

    def __post_init__(self):
        check_fields(self)
        _check_positive("projections", self.projections)

    def __call__(self, key: Array, x: Array, y: Array) -> Array:
        """The distance, a scalar.

        Args:
            key: for the directions; the same key compares two pairs of sets along the same ones.
            x: samples, [n, ...].
            y: as many samples of the same shape.

        Raises:
            UsageError: the shapes or the numbers of samples differ, or `key` is no random key.
        """
        x, y = _rows(x, y, least=1)
        if len(x) != len(y):
            raise UsageError(
                f"The sliced Wasserstein distance compares as many samples with as many, got "
                f"{len(x)} and {len(y)}: leave some out, or take the energy distance."
            )
        directions = jax.random.normal(one_key(key), (x.shape[1], self.projections))
        directions /= jnp.linalg.norm(directions, axis=0)
        gap = jnp.sort(x @ directions, axis=0) - jnp.sort(y @ directions, axis=0)
        return jnp.sqrt(jnp.mean(gap**2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class EnergyDistance:
    """The squared energy distance (Szekely and Rizzo 2013), 2 E|x-y| - E|x-x'| - E|y-y'|.

    The unbiased estimate, over pairs of distinct samples: its mean is zero for equal distributions.

    Attributes:
        chunk: rows compared at a time, which bounds memory to chunk * max(n, m).

    Raises:
        UsageError: there are none.
    """

    chunk: int = 1024

    def __post_init__(self):
        check_fields(self)
        _check_positive("chunk", self.chunk)

    def __call__(self, key: Array, x: Array, y: Array) -> Array:
        """The squared distance, a scalar.

        Args:
            key: not used.
            x: samples, [n, ...].
            y: samples, [m, ...].

        Raises:
            UsageError: samples of other shapes.
        """
        del key
        x, y = _rows(x, y, least=2)

        def total(a, b):
            def row_sum(row):
                return jnp.sum(jnp.sqrt(jnp.sum((row - b) ** 2, axis=1)))

            return jnp.sum(jax.lax.map(row_sum, a, batch_size=min(self.chunk, len(a))))

        n, m = len(x), len(y)
        between = total(x, y) / (n * m)
        return 2 * between - total(x, x) / (n * (n - 1)) - total(y, y) / (m * (m - 1))
