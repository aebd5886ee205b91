"""The exact log-likelihood by the instantaneous change of variables.

Along the probability flow dx/dt = v(x, t), d log p_t(x_t) / dt = -div v (Chen et al. 2018,
arXiv:1806.07366, theorem 1; arXiv:2011.13456, equation 39), so that

    log p(x) = log p(x at t_max) + integral of div v from t_min to t_max,

with the data x taken as the state at t_min, and p at t_max the prior. The state and the divergence
are integrated together, each sample with its own adaptive steps.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import ode
from scoresde.denoiser import BaseDenoiser, Labelled
from scoresde.keys import sample_keys
from scoresde.likelihood.trace import check_trace, draw_probes, value_and_traces
from scoresde.registry import UsageError


class LogProb(NamedTuple):
    """A log-likelihood per sample; every field has a leading [batch].

    Attributes:
        nats: the log density in nats, in the units of x.
        stderr: the standard error of `nats` over the probes; 0 with the exact trace, NaN with one
            probe, which says nothing about its own error.
        latent: the state at t_max, like x.
        nfe: evaluations of the drift (each with its traces).
        finished: whether the solver reached t_max with a finite state.
    """

    nats: Array
    stderr: Array
    latent: Array
    nfe: Array
    finished: Array


def integrate(
    denoiser: BaseDenoiser,
    x: Array,
    noise: Any,
    vectors_of: Callable[[Any], Array],
    *,
    exact: bool,
    t_min: float,
    **options: Any,
) -> LogProb:
    """`log_prob` with probe vectors of the caller's.

    Args:
        denoiser: the denoiser.
        x: data, [batch, ...].
        noise: a pytree of [batch, ...] arrays: what each sample's probe vectors are made from.
        vectors_of: from one sample's part of `noise` to its vectors, [probes, ...]. It is called
            anew at each evaluation, which saves the memory of vectors drawn from a key.
        exact: whether they are the unit vectors, whose estimates add up to the trace.
        t_min: where to start.
        **options: of `scoresde.ode.solve`.
    """
    labels = None
    if isinstance(denoiser, Labelled):
        denoiser, labels = denoiser.denoiser, denoiser.labels[:, None]

    def augmented(t, state, args):
        sample_noise, label = args

        def velocity(x):
            return denoiser.velocity(x[None], t[None], label)[0]

        return value_and_traces(velocity, state[0], vectors_of(sample_noise), exact)

    probes = 1 if exact else jax.eval_shape(jax.vmap(vectors_of), noise).shape[1]
    start = x, jnp.zeros((len(x), probes), x.dtype)
    (latent, divergence), stats = ode.solve(
        augmented, start, t_min, denoiser.sde.t_max, args=(noise, labels), **options
    )
    nats = denoiser.terminal_log_prob(latent) + jnp.mean(divergence, axis=1)
    if exact:
        stderr = jnp.zeros_like(nats)
    else:  # with one probe this is 0 / 0
        square = jnp.sum((divergence - jnp.mean(divergence, axis=1, keepdims=True)) ** 2, axis=1)
        stderr = jnp.sqrt(square / (probes - 1) / probes)
    return LogProb(nats, stderr, latent, stats.nfe, stats.finished)


@functools.partial(jax.jit, static_argnames=("probes", "trace", "t_min", "method", "max_steps"))
def _log_prob(keys, denoiser, x, *, probes, trace, **options):
    def vectors_of(key):
        return draw_probes(key, x.shape[1:], probes, trace, x.dtype)

    return integrate(denoiser, x, keys, vectors_of, exact=trace == "exact", **options)


def log_prob(
    key: Array,
    denoiser: BaseDenoiser,
    x: Array,
    *,
    probes: int = 1,
    trace: str = "rademacher",
    rtol: float = 1e-5,
    atol: float = 1e-5,
    t_min: float | None = None,
    labels: Array | None = None,
    method: str = "dopri5",
    max_steps: int = 10_000,
) -> LogProb:
    """The exact log-likelihood of each sample in nats, with its error bar.

    Args:
        key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample: a
            sample's probes come from its own key, so its number does not depend on the batch.
        denoiser: a Denoiser or an analytic one.
        x: data, [batch, ...], already dequantised and in the range that the denoiser works in.
        probes: number of Hutchinson probes per sample, fixed along the trajectory.
        trace: "rademacher" or "gaussian" probes, or "exact" (as many products as dimensions).
        rtol: relative tolerance of the solver.
        atol: absolute tolerance.
        t_min: where to start; the process's own t_min if None.
        labels: None or [batch].
        method: a name of `scoresde.ode.METHODS`.
        max_steps: bound on the solver's steps; a sample that needs more has `finished` False.

    Raises:
        UsageError: unknown trace or method, no probes, a tolerance that is not positive, a t_min
            outside the process, or integer x.
    """
    check_trace(trace, probes)
    ode.check(method, rtol, atol)
    sde = denoiser.sde
    t_min = sde.t_min if t_min is None else float(t_min)
    if not 0 <= t_min < sde.t_max:
        raise UsageError(f"t_min must lie in [0, {sde.t_max}), got {t_min}.")
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UsageError(
            f"log_prob takes a density of real values, got {x.dtype}: dequantise integer images "
            "first (scoresde.data.dequantize) and scale them to the denoiser's range."
        )
    if x.ndim < 2:
        raise UsageError(f"log_prob takes x of shape [batch, ...], got {x.shape}.")
    if labels is not None:
        denoiser = Labelled(denoiser, jnp.asarray(labels))
    return _log_prob(
        sample_keys(key, len(x)),
        denoiser,
        x,
        probes=probes,
        trace=trace,
        rtol=rtol,
        atol=atol,
        t_min=t_min,
        method=method,
        max_steps=max_steps,
    )
