"""The trace of a Jacobian together with the function's value, in one pass.

An estimator is `(f, x, noise) -> (f(x), traces [probes])` for ONE sample: f maps x to an array of
its shape. `f` is linearised once; every probe e then costs one product with the Jacobian, and
e^T J e has mean tr J if e has mean zero and unit covariance (Hutchinson 1989; Skilling 1989).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.registry import UsageError


def value_and_traces(
    f: Callable[[Array], Array], x: Array, probes: Array, exact: bool
) -> tuple[Array, Array]:
    """f(x) and e^T J e for each probe.

    Args:
        f: a function of one sample.
        x: where, [...].
        probes: [probes, ...].
        exact: whether the probes are the unit vectors, whose estimates add up to the trace.

    Returns:
        f(x), and [probes], or [1] where exact.
    """
    value, jacobian_product = jax.linearize(f, x)
    products = jax.vmap(jacobian_product)(probes)
    traces = jnp.sum(jnp.reshape(products * probes, (len(probes), -1)), axis=1)
    return value, jnp.sum(traces, keepdims=True) if exact else traces


def draw_probes(key: Array, shape: tuple[int, ...], probes: int, trace: str, dtype) -> Array:
    """Probe vectors [probes, *shape] for one sample; for "exact", the unit vectors."""
    if trace == "rademacher":
        return jax.random.rademacher(key, (probes, *shape), dtype)
    if trace == "gaussian":
        return jax.random.normal(key, (probes, *shape), dtype)
    size = 1
    for n in shape:
        size *= n
    return jnp.eye(size, dtype=dtype).reshape(size, *shape)


def check_trace(trace: str, probes: int) -> None:
    """Raises UsageError for an unknown estimator or a number of probes that is not positive."""
    known = ("rademacher", "gaussian", "exact")
    if trace not in known:
        raise UsageError(f"Unknown trace estimator {trace!r}. Known: {', '.join(known)}.")
    if probes < 1:
        raise UsageError(f"The number of probes must be at least 1, got {probes}.")
