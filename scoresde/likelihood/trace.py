"""The trace of a Jacobian together with the function's value, in one pass.

An estimator is `(f, x, vectors) -> (f(x), estimates [probes])` for ONE sample: f maps x to an array
of its shape, and the mean of the estimates is the trace of f's Jacobian J. f is linearised once;
every product with J then costs about one evaluation.

    rademacher, gaussian  e^T J e for each probe e (Hutchinson 1989; Skilling 1989)
    hutch++               tr(Q^T J Q) + e^T (1 - QQ^T) J (1 - QQ^T) e for each probe e, where Q is
                          a basis of J S for a sketch S of as many vectors (Meyer et al. 2021,
                          arXiv:2010.09649, algorithm 1): three products a probe, and only the part
                          of J that the sketch misses has variance
    exact                 the diagonal, from d products

The products are forward-mode. Reverse-mode ones cost as much (64 of a DDPM++ on 8x8 digits, batch
4, on a CPU: 0.15 s either way, with 24 MB against 26 MB).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.registry import UsageError

TRACES = ("rademacher", "gaussian", "hutch++", "exact")

# Products in memory together: as fast as all at once, and an exact trace of 3072 dimensions fits.
_TOGETHER = 64


def draw_vectors(key: Array, shape: tuple[int, ...], probes: int, trace: str, dtype) -> Array:
    """What an estimator multiplies the Jacobian by, for one sample: [vectors, *shape].

    `probes` of them; twice as many for "hutch++", the sketch first; d unit vectors for "exact".
    """
    if trace == "exact":
        size = math.prod(shape)
        return jnp.eye(size, dtype=dtype).reshape(size, *shape)
    if trace == "gaussian":
        return jax.random.normal(key, (probes, *shape), dtype)
    count = 2 * probes if trace == "hutch++" else probes
    return jax.random.rademacher(key, (count, *shape), dtype)


def num_estimates(vectors: int, trace: str) -> int:
    """How many estimates `value_and_traces` returns for so many vectors."""
    return {"exact": 1, "hutch++": vectors // 2}.get(trace, vectors)


def value_and_traces(
    f: Callable[[Array], Array],
    x: Array,
    vectors: Array,
    trace: str,
    wanted: Array | bool = True,
) -> tuple[Array, Array]:
    """f(x) and the estimates of its Jacobian's trace.

    Args:
        f: a function of one sample.
        x: where, [...].
        vectors: of `draw_vectors`, [vectors, ...].
        trace: a name of TRACES.
        wanted: whether the estimates are; they are zero where not.

    Returns:
        f(x), and [probes], or [1] for "exact".
    """
    value, push_forward = jax.linearize(f, x)

    def product(rows):
        """J on each row of [n, d]."""
        tangents = rows.reshape(-1, *x.shape)
        if len(rows) <= _TOGETHER:
            return jax.vmap(push_forward)(tangents).reshape(rows.shape)
        return jax.lax.map(push_forward, tangents, batch_size=_TOGETHER).reshape(rows.shape)

    vectors = vectors.reshape(len(vectors), -1)

    def estimates():
        if trace == "hutch++":
            return _hutch_plus_plus(product, *jnp.split(vectors, 2))
        products = jnp.sum(vectors * product(vectors), axis=1)
        return jnp.sum(products, keepdims=True) if trace == "exact" else products

    zeros = jnp.zeros(num_estimates(len(vectors), trace), value.dtype)
    return value, jax.lax.cond(wanted, estimates, lambda: zeros)


def _hutch_plus_plus(product, sketch, probes):
    basis = jnp.linalg.qr(product(sketch).T)[0].T
    rest = probes - probes @ basis.T @ basis
    # Both sets of products in one go.
    pushed_basis, pushed_rest = jnp.split(product(jnp.concatenate([basis, rest])), [len(basis)])
    return jnp.sum(basis * pushed_basis) + jnp.sum(rest * pushed_rest, axis=1)


def check_trace(trace: str, probes: int) -> None:
    """Raises UsageError for an unknown estimator or a number of probes that is not positive."""
    if trace not in TRACES:
        raise UsageError(f"Unknown trace estimator {trace!r}. Known: {', '.join(TRACES)}.")
    if not isinstance(probes, int | np.integer) or probes < 1:
        raise UsageError(f"The number of probes must be an integer, at least 1, got {probes!r}.")
