"""The exact log-likelihood by the instantaneous change of variables.

Along the probability flow dx/dt = v(x, t), d log p_t(x_t) / dt = -div v (Chen et al. 2018,
arXiv:1806.07366, theorem 1; arXiv:2011.13456, equation 39), so that

    log p(x) = log p(x at t_max) + integral of div v from t_min to t_max,

with p at t_max the prior. The state and the divergence are integrated together, each sample with
its own adaptive steps.

The flow starts at t_min, not at 0, where the score of data on a grid diverges. Published numbers
take the data as the state at t_min, so that they are of a density blurred by sigma(t_min). The
correction "decoder" bounds the density of the model that goes on from there to the data instead:
with x_t drawn from q(x_t | x) = N(alpha x, sigma^2) at t_min and the decoder p(x | x_t) =
N(x; E[x_0 | x_t], (sigma / alpha)^2),

    log p(x) >= E_q [ log p_t(x_t) + log p(x | x_t) - log q(x_t | x) ]

(Song et al. 2021, arXiv:2101.09258, appendix A).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import ode
from scoresde.denoiser import (
    BaseDenoiser,
    Condition,
    check_condition,
    check_denoiser,
    one_by_one,
    predict,
    require_continuous_time,
)
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.likelihood.trace import (
    check_trace,
    draw_vectors,
    num_estimates,
    value_and_traces,
)
from scoresde.registry import UsageError
from scoresde.sdes import expand

CORRECTIONS = ("none", "decoder")
PRECISIONS = ("float32", "float64")


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
    trace: str,
    t_min: float,
    state_dtype: Any = None,
    **options: Any,
) -> LogProb:
    """`log_prob` at t_min with probe vectors of the caller's.

    Args:
        denoiser: the denoiser.
        x: data, [batch, ...]; the denoiser is evaluated in its type.
        condition: of the samples; each is handed its own part.
        noise: a pytree of [batch, ...] arrays: what each sample's probe vectors are made from.
        vectors_of: from one sample's part of `noise` to its vectors, [vectors, ...]. It is called
            anew at each evaluation, which saves the memory of vectors drawn from a key.
        trace: what is done with them, a name of `scoresde.likelihood.trace.TRACES`.
        t_min: where to start.
        state_dtype: the type of the solver's state; that of x if None.
        **options: of `scoresde.ode.solve`.
    """

    def augmented(t, state, args, weighted):
        noise, condition = args

        def velocity(x):
            return denoiser.velocity(x[None], t.astype(x.dtype)[None], condition)[0]

        vectors = vectors_of(noise).astype(x.dtype)
        at = state[0].astype(x.dtype)
        drift, traces = value_and_traces(velocity, at, vectors, trace, wanted=weighted)
        return drift.astype(state[0].dtype), traces.astype(state[0].dtype)

    # The error in log p is that of its estimate, the mean: no more steps for more probes.
    if isinstance(options.get("rtol"), tuple):

        def norm(error):
            return jnp.maximum(ode.root_mean_square(error[0]), jnp.abs(jnp.mean(error[1])))
    else:

        def norm(error):
            return ode.root_mean_square((error[0], jnp.mean(error[1])))

    start = x.astype(x.dtype if state_dtype is None else state_dtype)
    vectors = jax.eval_shape(jax.vmap(vectors_of), noise).shape[1]
    start = start, jnp.zeros((len(x), num_estimates(vectors, trace)), start.dtype)
    (latent, divergence), stats = ode.solve(
        augmented,
        start,
        t_min,
        denoiser.sde.t_max,
        args=(noise, one_by_one(condition)),
        norm=norm,
        integrals=True,
        **options,
    )
    nats = denoiser.terminal_log_prob(latent, condition) + jnp.mean(divergence, axis=1)
    nats = jnp.where(stats.finished, nats, jnp.nan)  # half an integral is no estimate
    if trace == "exact":
        stderr = jnp.zeros_like(nats)
    else:  # with one probe this is 0 / 0
        probes = divergence.shape[1]
        square = jnp.sum((divergence - jnp.mean(divergence, axis=1, keepdims=True)) ** 2, axis=1)
        stderr = jnp.sqrt(square / (probes - 1) / probes)
    return LogProb(nats, stderr, latent, stats.nfe, stats.finished)


def _encode(
    denoiser: BaseDenoiser, x: Array, condition: Condition, keys: Array, t: float
) -> tuple[Array, Array]:
    """x_t drawn from q(x_t | x), and log p(x | x_t) - log q(x_t | x) in nats, [batch]."""
    noise = normal(keys, x.shape, x.dtype)
    t = jnp.full(len(x), t, x.dtype)
    sde = denoiser.sde
    x_t = sde.perturb(x, noise, t)
    # x - E[x_0 | x_t] = sigma / alpha (E[noise | x_t] - noise): nothing is lost to cancellation.
    error = predict(denoiser, x_t, t, condition).noise - noise
    square = jnp.reshape(noise**2 - error**2, (len(x), -1))
    return x_t, jnp.sum(0.5 * square + expand(jnp.log(sde.alpha(t)), square), axis=1)


_STATIC = ("probes", "trace", "correction", "method", "max_steps", "state_dtype")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _log_prob(keys, denoiser, x, condition, *, probes, trace, t_min, correction, **options):
    def vectors_of(key):
        return draw_vectors(key, x.shape[1:], probes, trace, x.dtype)

    offset = 0.0
    if correction == "decoder":
        x, offset = _encode(denoiser, x, condition, fold_in(keys, 1), t_min)
    result = integrate(
        denoiser, x, condition, keys, vectors_of, trace=trace, t_min=t_min, **options
    )
    return result._replace(nats=result.nats + offset)


def check_options(
    *,
    probes: int,
    trace: str,
    rtol: float,
    atol: float,
    log_prob_rtol: float | None,
    log_prob_atol: float | None,
    correction: str,
    method: str,
    precision: str,
) -> None:
    """Raises UsageError for options that `log_prob` does not take, whatever the denoiser."""
    check_trace(trace, probes)
    for name, value, known in (
        ("correction", correction, CORRECTIONS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in known:
            raise UsageError(f"Unknown {name} {value!r}. Known: {', '.join(known)}.")
    tolerances = {
        "rtol": rtol,
        "atol": atol,
        "log_prob_rtol": log_prob_rtol,
        "log_prob_atol": log_prob_atol,
    }
    given = {name: value for name, value in tolerances.items() if value is not None}
    ode.check(method, **given)


def log_prob(
    key: Array,
    denoiser: BaseDenoiser,
    x: Array,
    *,
    probes: int = 1,
    trace: str = "rademacher",
    rtol: float = 1e-5,
    atol: float = 1e-5,
    log_prob_rtol: float | None = None,
    log_prob_atol: float | None = None,
    t_min: float | None = None,
    correction: str = "none",
    condition: Condition = None,
    method: str = "dopri5",
    max_steps: int = 10_000,
    precision: str = "float32",
) -> LogProb:
    """The exact log-likelihood of each sample in nats, with its error bar.

    Args:
        key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample: a
            sample's probes come from its own key, so its number does not depend on the batch.
        denoiser: a Denoiser or an analytic one.
        x: data, [batch, ...], already dequantised and in the range that the denoiser works in.
        probes: number of probes per sample, fixed along the trajectory.
        trace: "rademacher" or "gaussian" Hutchinson probes, "hutch++" (three products a probe,
            less variance), or "exact" (as many products as dimensions).
        rtol: relative tolerance of the solver.
        atol: absolute tolerance.
        log_prob_rtol: relative tolerance of the change in log p. If it or `log_prob_atol` is given,
            the errors of x and of log p are each held to their own tolerances; else one norm over
            both is, as in score_sde, in which a single log p among many pixels has little weight.
        log_prob_atol: absolute tolerance of log p, in nats.
        t_min: where to start; the process's own t_min if None.
        correction: "none" takes x as the state at t_min, as published numbers do; "decoder" is an
            unbiased estimate, from one draw of x_t and one evaluation more, of a lower bound on the
            log density of x when the last step to it is taken by a Gaussian decoder. Over many keys
            the bound is the mean; the log-mean-exp tends to the log density itself.
        condition: what is known of each sample, by name: arrays [batch, ...].
        method: a name of `scoresde.ode.METHODS`. "dopri8" is for denoisers smooth in t; embeddings
            of t in a network oscillate, and it then takes several times dopri5's evaluations.
        max_steps: bound on the solver's steps; a sample that needs more has `finished` False.
        precision: of the solver's state, "float32" or "float64" (not on TPUs; not inside a function
            that JAX transforms, unless it has 64 bits everywhere); the denoiser is evaluated in
            float32 either way. Results are float32.

    Raises:
        UsageError: unknown trace, method, correction or precision, no probes or steps, a tolerance
            that is not positive, a t_min outside the process, x that is empty or not real, a
            condition of other samples, a network that knows discrete levels only, a denoiser that
            holds the data of several samples itself, or float64 asked for where it cannot be had.
    """
    check_options(
        probes=probes,
        trace=trace,
        rtol=rtol,
        atol=atol,
        log_prob_rtol=log_prob_rtol,
        log_prob_atol=log_prob_atol,
        correction=correction,
        method=method,
        precision=precision,
    )
    if log_prob_rtol is not None or log_prob_atol is not None:
        rtol = rtol, rtol if log_prob_rtol is None else log_prob_rtol
        atol = atol, atol if log_prob_atol is None else log_prob_atol
    check_denoiser(denoiser)
    require_continuous_time(denoiser, "The exact likelihood")
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
    if x.ndim < 2 or x.size == 0:
        raise UsageError(f"log_prob takes x of shape [batch, ...], got {x.shape}.")
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))  # bfloat16 would be the state's type too
    condition = check_condition(condition, len(x))
    options = {"rtol": rtol, "atol": atol, "method": method, "max_steps": max_steps}
    options |= {"probes": probes, "trace": trace, "t_min": t_min, "correction": correction}
    keys = sample_keys(key, len(x))
    if precision == "float32":
        return _log_prob(keys, denoiser, x, condition, **options)
    traced = any(
        isinstance(a, jax.core.Tracer) for a in jax.tree.leaves((keys, denoiser, x, condition))
    )
    if traced and not jax.config.jax_enable_x64:
        raise UsageError(
            "precision='float64' cannot be had inside jit, vmap or grad: call log_prob outside of "
            "them (it compiles itself), or set jax_enable_x64."
        )
    with jax.enable_x64(True):
        result = _log_prob(keys, denoiser, x, condition, **options, state_dtype="float64")
        as_given = {name: getattr(result, name).astype(x.dtype) for name in LogProb._fields[:3]}
        return result._replace(**as_given, nfe=result.nfe.astype(jnp.int32))
