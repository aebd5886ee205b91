"""Exponential moving average (EMA) of the parameters."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from scoresde import registry

PyTree = Any


# The warm-ups give 1 - r_n rather than r_n: in float32, 1 - 0.9999 has lost four of its digits.
def _constant(n: jax.Array | int, rate: float) -> jax.Array:
    del n
    return jnp.asarray(1.0 - rate, jnp.float32)


def _inverse(n: jax.Array | int, rate: float) -> jax.Array:
    return jnp.maximum(1.0 - rate, 9.0 / (10.0 + jnp.asarray(n, jnp.float32)))


WARMUPS = {"none": _constant, "inverse": _inverse}


def _step_size(n: jax.Array | int, rate: float, warmup: str) -> jax.Array:
    if not 0 <= rate < 1:
        raise registry.UsageError(f"The EMA rate must lie in [0, 1), not {rate}.")
    return registry.member("EMA warm-up", WARMUPS, warmup)(n, rate)


def ema_rate(n: jax.Array | int, rate: float, warmup: str = "none") -> jax.Array:
    """The rate r_n of the n-th update p̄ <- r_n p̄ + (1 - r_n) p.

    Args:
        n: which update this is, counted from 1.
        rate: the rate r in the long run, in [0, 1); 0 makes the average follow the parameters.
        warmup: "none" for r_n = r (the rule of score_sde in JAX), or "inverse" for
            r_n = min(r, (1 + n) / (10 + n)), which forgets the initial parameters sooner (the rule
            of score_sde in PyTorch).

    Returns:
        r_n, float32 scalar.

    Raises:
        UsageError: unknown warm-up, or a rate outside [0, 1).
    """
    return 1.0 - _step_size(n, rate, warmup)


def update(
    ema_params: PyTree, params: PyTree, n: jax.Array | int, rate: float, warmup: str = "none"
) -> PyTree:
    """The average r_n p̄ + (1 - r_n) p after the n-th update.

    Args:
        ema_params: the average p̄ before it.
        params: the parameters p after it, same structure.
        n: see `ema_rate`.
        rate: see `ema_rate`.
        warmup: see `ema_rate`.

    Raises:
        UsageError: see `ema_rate`.
    """
    return optax.incremental_update(params, ema_params, _step_size(n, rate, warmup))
