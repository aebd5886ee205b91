"""The instantaneous change of variables, integrated.

Along the probability flow dx/dt = v(x, t), d log p_t(x_t) / dt = -div v (Chen et al. 2018,
arXiv:1806.07366, theorem 1; arXiv:2011.13456, equation 39), so that

    log p(x) = log p(x at t_max) + integral of div v from t_min to t_max,

with p at t_max the prior. The state and the divergence are integrated together, each sample with
its own adaptive steps, in the time and the scale of `scoresde.likelihood.noise_time`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import ode
from scoresde.condition import Condition, one_by_one
from scoresde.denoiser import BaseDenoiser, velocity_of_one
from scoresde.likelihood.noise_time import NoiseTime
from scoresde.likelihood.standard_errors import standard_error
from scoresde.likelihood.trace import Trace, value_and_traces
from scoresde.registry import UsageError

# Of the tolerance of x, in nats a dimension: the errors of some ten steps add up to about it.
SHARE = 0.3
# Of the way: it is the same for all processes, and need not be found by evaluations.
FIRST_STEP = 0.1
# Estimates of a network's ripples are noise: steps as long as they suggest are too long.
SAFETY = 0.7


class LogProb(NamedTuple):
    """A log-likelihood per sample; every field has a leading [batch].

    Attributes:
        nats: the log density in nats, in the units of x; NaN where the solver did not finish.
        stderr: the standard error of `nats` over the probes; 0 with the exact trace, NaN with one
            probe, which says nothing about its own error.
        latent: the state at t_max, like x.
        nfe: evaluations of the drift, with its traces where they count, see `scoresde.ode`.
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
    condition: Condition,
    noise: Any,
    vectors_of: Callable[[Any], Array],
    *,
    trace: Trace,
    t_min: float,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    log_prob_rtol: float = 0.0,
    log_prob_atol: float | None = None,
    state_dtype: Any = None,
    **options: Any,
) -> LogProb:
    """log p at t_min with probe vectors of the caller's; `stderr` is None where it is unknown.

    Args:
        denoiser: the denoiser.
        x: data, [batch, ...]; the denoiser is evaluated in its type.
        condition: of the samples; each is handed its own part.
        noise: a pytree of [batch, ...] arrays: what each sample's probe vectors are made from.
        vectors_of: from one sample's part of `noise` to its vectors, [vectors, ...]. It is called
            anew at each evaluation, which saves the memory of vectors drawn from a key.
        trace: what is done with them.
        t_min: where to start.
        rtol: relative tolerance of a step's error in x.
        atol: absolute tolerance of it, where the noise or the data have size one.
        log_prob_rtol: relative tolerance of a step's error in log p.
        log_prob_atol: absolute tolerance of it, in nats; SHARE of atol a dimension if None.
        state_dtype: the type of the solver's state; that of x if None.
        **options: of `scoresde.ode.solve`.
    """

    clock = NoiseTime(denoiser.sde, t_min)

    def augmented(u, state, args, weighted):
        noise, condition = args
        at = clock.at(u)
        speed, scale, growth = (jnp.asarray(value, x.dtype) for value in at[1:])

        def velocity(y):
            v = velocity_of_one(denoiser, scale * y, at.t.astype(x.dtype), condition)
            return speed * (v / scale - growth * y)

        vectors = vectors_of(noise).astype(x.dtype)
        y = state[0].astype(x.dtype)
        drift, traces = value_and_traces(velocity, y, vectors, trace, wanted=weighted)
        return drift.astype(state[0].dtype), traces.astype(state[0].dtype)

    def norm(error):
        # The error in log p is that of its estimate, the mean: no more steps for more probes.
        return jnp.maximum(ode.root_mean_square(error[0]), jnp.abs(jnp.mean(error[1])))

    def no_products(noise):
        vectors = vectors_of(noise)
        return trace.estimates(lambda rows: rows, jnp.reshape(vectors, (len(vectors), -1)))

    dtype, dims = x.dtype if state_dtype is None else jnp.dtype(state_dtype), x[0].size
    log_scales = [clock.log_scale(t).astype(dtype) for t in (t_min, denoiser.sde.t_max)]
    start = x.astype(dtype) * jnp.exp(-log_scales[0])
    estimates = jax.eval_shape(jax.vmap(no_products), noise).shape[1]
    if log_prob_atol is None:
        log_prob_atol = SHARE * dims * atol
    (end, divergence), stats = ode.solve(
        augmented,
        (start, jnp.zeros((len(x), estimates), dtype)),
        clock.of(t_min),
        clock.of(denoiser.sde.t_max),
        args=(noise, one_by_one(condition)),
        rtol=(rtol, log_prob_rtol),
        atol=(atol, log_prob_atol),
        first_step=FIRST_STEP,
        safety=SAFETY,
        norm=norm,
        integrals=True,
        **options,
    )
    latent = end * jnp.exp(log_scales[1])
    nats = _terminal_log_prob(denoiser, latent, condition) + jnp.mean(divergence, axis=1)
    nats += dims * (log_scales[1] - log_scales[0])
    nats = jnp.where(stats.finished, nats, jnp.nan)  # half an integral is no estimate
    stderr = jnp.zeros_like(nats) if trace.exact else standard_error(divergence, axis=1)
    return LogProb(nats, stderr, latent, stats.nfe, stats.finished)


def _terminal_log_prob(denoiser, latent, condition):
    """Sample by sample: what a denoiser holds of several samples would be mixed without a word."""

    def of_one(z, condition):
        nats = denoiser.terminal_log_prob(z[None], condition)
        if jnp.shape(nats) != (1,):
            raise UsageError(
                f"terminal_log_prob of one sample must have shape (1,), and has {jnp.shape(nats)}: "
                "what differs from sample to sample travels in the condition."
            )
        return nats[0]

    return jax.vmap(of_one)(latent, one_by_one(condition))
