"""Estimators of the trace of a Jacobian J, together with the function's value, in one pass.

    rademacher, gaussian  e^T J e for each probe e (Hutchinson 1989; Skilling 1989)
    hutch++               tr(Q^T J Q) + e^T (1 - QQ^T) J (1 - QQ^T) e for each probe e, where Q is
                          a basis of J S for a sketch S of as many vectors (Meyer et al. 2021,
                          arXiv:2010.09649, algorithm 1): three products a probe, and only the part
                          of J that the sketch misses has variance
    exact                 the diagonal, from d products

The function is linearized once; every product with J then costs about one evaluation. The products
are forward-mode. Reverse-mode ones cost as much (64 of a DDPM++ on 8x8 digits, batch 4, on a CPU:
0.15 s either way, with 24 MB against 26 MB).
"""

import dataclasses
import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.registry import UsageError, component, lookup, make

Products = Callable[[Array], Array]
"""J on each row of [n, d]."""

# Products in memory together: as fast as all at once, and an exact trace of 3072 dimensions fits.
_TOGETHER = 64


class Trace:
    """An estimator for ONE sample, of d dimensions: the mean of its estimates is the trace.

    A subclass is hashable. Its vectors are drawn apart from the products, since the vectors of a
    likelihood are the same all along the trajectory.

    Attributes:
        exact: whether there is one estimate, and it has no error.
    """

    exact: ClassVar[bool] = False

    def draw(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """What J is multiplied by, [vectors, *shape], for a sample of that shape."""
        raise TypeError(f"{type(self).__name__} must define draw(key, shape, dtype).")

    def estimates(self, product: Products, vectors: Array) -> Array:
        """The estimates [n], from products with J and the vectors [vectors, d]."""
        raise TypeError(f"{type(self).__name__} must define estimates(product, vectors).")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Probes(Trace):
    """
    Attributes:
        probes: independent estimates, whose spread is the standard error.

    Raises:
        UsageError: the number is no integer, or less than one.
    """

    probes: int = 1

    def __post_init__(self):
        if not isinstance(self.probes, int | np.integer) or self.probes < 1:
            raise UsageError(
                f"The number of probes must be an integer, at least 1, got {self.probes!r}."
            )

    def estimates(self, product, vectors):
        return jnp.sum(vectors * product(vectors), axis=1)


class Rademacher(_Probes):
    """Hutchinson's estimator with random signs, which have the least variance."""

    def draw(self, key, shape, dtype):
        return jax.random.rademacher(key, (self.probes, *shape), dtype)


class Gaussian(_Probes):
    """Hutchinson's estimator with normal probes."""

    def draw(self, key, shape, dtype):
        return jax.random.normal(key, (self.probes, *shape), dtype)


class HutchPlusPlus(_Probes):
    """Hutch++, whose sketch has as many random signs as there are probes."""

    def draw(self, key, shape, dtype):
        return jax.random.rademacher(key, (2 * self.probes, *shape), dtype)

    def estimates(self, product, vectors):
        sketch, probes = jnp.split(vectors, 2)
        basis, triangle = jnp.linalg.qr(product(sketch).T)
        # Signs that are the same twice, or a J of low rank, leave directions that are all rounding,
        # others at every step of a solver: they are left out.
        size = jnp.abs(jnp.diagonal(triangle))
        basis = jnp.where(size > 1e3 * jnp.finfo(size.dtype).eps * jnp.max(size), basis, 0.0).T
        rest = probes - probes @ basis.T @ basis
        # Both sets of products in one go.
        pushed_basis, pushed_rest = jnp.split(product(jnp.concatenate([basis, rest])), [len(basis)])
        return jnp.sum(basis * pushed_basis) + jnp.sum(rest * pushed_rest, axis=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exact(Trace):
    """No estimate: as many products as dimensions."""

    exact: ClassVar[bool] = True

    def draw(self, key, shape, dtype):
        size = math.prod(shape)
        return jnp.eye(size, dtype=dtype).reshape(size, *shape)

    def estimates(self, product, vectors):
        return jnp.sum(vectors * product(vectors))[None]


TRACES = {
    "rademacher": Rademacher,
    "gaussian": Gaussian,
    "hutch++": HutchPlusPlus,
    "exact": Exact,
}


def get(trace: str | Trace, probes: int = 1) -> Trace:
    """The estimator of that name, of a section with one, or as it is.

    Args:
        trace: a name of TRACES, `package.module:Name`, a section of it and its options, or an
            estimator.
        probes: of one given by name, if it has probes.

    Raises:
        UsageError: an unknown name, or a number of probes that is not positive.
    """
    if not isinstance(trace, str):
        if probes != 1:
            raise UsageError(
                f"The trace estimator {trace} has its own number of probes: leave out "
                f"probes={probes}."
            )
        return component("trace estimator", TRACES, trace, Trace)
    known = inspect.signature(lookup("trace estimator", TRACES, trace)).parameters
    options = {"probes": probes} if "probes" in known else {}
    return make("trace estimator", TRACES, trace, **options)


def value_and_traces(
    f: Callable[[Array], Array],
    x: Array,
    vectors: Array,
    trace: Trace,
    wanted: Array | bool = True,
) -> tuple[Array, Array]:
    """f(x) and the estimates of its Jacobian's trace.

    Args:
        f: a function of one sample, to an array of its shape.
        x: where, [...].
        vectors: of `trace.draw`, [vectors, ...].
        trace: the estimator.
        wanted: whether the estimates are; they are zero where not.

    Returns:
        f(x), and the estimates [n].
    """
    value, push_forward = jax.linearize(f, x)

    def product(rows):
        tangents = rows.reshape(-1, *x.shape)
        if len(rows) <= _TOGETHER:
            return jax.vmap(push_forward)(tangents).reshape(rows.shape)
        return jax.lax.map(push_forward, tangents, batch_size=_TOGETHER).reshape(rows.shape)

    def estimates():
        return trace.estimates(product, vectors.reshape(len(vectors), -1))

    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(estimates))
    return value, jax.lax.cond(wanted, estimates, lambda: zeros)
