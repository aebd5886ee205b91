"""What a bound returns, and the one loop over the network in which it is estimated."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import BaseDenoiser
from scoresde.keys import fold_in, normal
from scoresde.likelihood.standard_errors import standard_error


class Bound(NamedTuple):
    """A lower bound per sample, in nats; every field has a leading [batch].

    nats = -(prior + diffusion + reconstruction).

    Attributes:
        nats: an unbiased estimate of the bound.
        stderr: its standard error over independent repeats; NaN with one, which says nothing about
            its own error.
        prior: KL divergence at t_max from the prior, exact.
        diffusion: cost of the reverse process from t_max to t_min.
        reconstruction: -E[log p(x | x_tmin)].
        nfe: evaluations of the denoiser.
    """

    nats: Array
    stderr: Array
    prior: Array
    diffusion: Array
    reconstruction: Array
    nfe: Array


def make_bound(prior: Array, diffusion: Array, reconstruction: Array, nfe: int) -> Bound:
    """The bound of prior [batch], and of repeats [repeats, batch] of the other costs.

    Of one repeat, `stderr` is None.
    """
    stderr = standard_error(diffusion + reconstruction, axis=0)
    diffusion, reconstruction = jnp.mean(diffusion, axis=0), jnp.mean(reconstruction, axis=0)
    nats = -(prior + diffusion + reconstruction)
    nfe = jnp.full(nats.shape, nfe, jnp.int32)
    return Bound(nats, stderr, prior, diffusion, reconstruction, nfe)


def measure_at(
    keys: Array,
    denoiser: BaseDenoiser,
    x0: Array,
    times: Any,
    measure: Callable[..., Any],
) -> Any:
    """Measures the denoiser on x_t ~ q(x_t | x0), one time of each sample after another.

    Args:
        keys: one key per sample, [batch].
        denoiser: the denoiser.
        x0: [batch, ...].
        times: [n, batch], or a pytree of such arrays: what a time is described by.
        measure: (keys, denoiser, x0, noise, time) -> pytree of [batch], with keys and the time's
            arrays [batch].

    Returns:
        The measurements, [n, batch]. One time of the batch at a time is in memory.
    """

    def step(number, time):
        noise_keys = fold_in(keys, 2 * number)
        noise = normal(noise_keys, x0.shape, x0.dtype)
        return number + 1, measure(fold_in(keys, 2 * number + 1), denoiser, x0, noise, time)

    return jax.lax.scan(step, 0, times)[1]
