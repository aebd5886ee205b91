"""Standard errors of estimates that are repeated within one call."""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

Result = TypeVar("Result", bound=NamedTuple)


def standard_error(estimates: Array, axis: int) -> Array | None:
    """Of the mean of n independent estimates along `axis`; None where there is only one."""
    n = estimates.shape[axis]
    if n == 1:
        return None
    spread = estimates - jnp.mean(estimates, axis=axis, keepdims=True)
    return jnp.sqrt(jnp.sum(spread**2, axis=axis) / (n - 1) / n)


def nan_if_unknown(result: Result) -> Result:
    """The result with NaN for a `stderr` that is None.

    Outside of the compiled program, and where it is meant: else JAX_DEBUG_NANS would stop there.
    """
    if result.stderr is not None:
        return result
    with jax.debug_nans(False):
        return result._replace(stderr=jnp.full_like(result.nats, jnp.nan))
