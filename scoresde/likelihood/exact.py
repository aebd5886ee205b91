"""The exact log-likelihood of a probability flow, by `scoresde.likelihood.change_of_variables`.

The flow starts at t_min, not at 0, where the score of data on a grid diverges. Published numbers
take the data as the state at t_min, so that they are of a density blurred by sigma(t_min). The
correction "decoder" bounds the density of the model that goes on from there to the data instead:
with x_t drawn from q(x_t | x) = N(alpha x, sigma^2) at t_min and the decoder p(x | x_t) =
N(x; E[x_0 | x_t], (sigma / alpha)^2),

    log p(x) >= E_q [ log p_t(x_t) + log p(x | x_t) - log q(x_t | x) ]

(Song et al. 2021, arXiv:2101.09258, appendix A).
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import ode
from scoresde.condition import Condition, check_condition
from scoresde.denoiser import (
    BaseDenoiser,
    check_denoiser,
    predict,
    require_continuous_time,
)
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.likelihood import trace as traces
from scoresde.likelihood.change_of_variables import LogProb, integrate
from scoresde.likelihood.checks import check_choice, check_known, check_values
from scoresde.likelihood.standard_errors import nan_if_unknown
from scoresde.meshes import automatic
from scoresde.plain import check_fields
from scoresde.registry import UsageError, make
from scoresde.sdes import expand
from scoresde.times import require_flow, require_noise

_TOLERANCES = ("rtol", "atol", "log_prob_rtol", "log_prob_atol")
_NUMBERS = (*_TOLERANCES, "t_min", "max_steps")
CORRECTIONS = ("none", "decoder")
PRECISIONS = ("float32", "float64")


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


_STATIC = ("trace", "correction", "method", "max_steps", "state_dtype")


@functools.partial(jax.jit, static_argnames=_STATIC)
def _log_prob(keys, denoiser, x, condition, *, trace, t_min, correction, **options):
    def vectors_of(key):
        return trace.draw(key, x.shape[1:], x.dtype)

    offset = 0.0
    if correction == "decoder":
        x, offset = _encode(denoiser, x, condition, fold_in(keys, 1), t_min)
    result = integrate(
        denoiser, x, condition, keys, vectors_of, trace=trace, t_min=t_min, **options
    )
    return result._replace(nats=result.nats + offset)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactLikelihood:
    """The log density of each sample, by the change of variables along the probability flow.

    Attributes:
        trace: the estimator of the divergence, one of `scoresde.likelihood.trace.TRACES` or its
            name: "rademacher" or "gaussian" Hutchinson probes, "hutch++" (three products a probe,
            less variance), or "exact" (as many products as dimensions).
        probes: number of probes per sample, fixed along the trajectory, of a trace given by name.
        rtol: relative tolerance of a step, in x.
        atol: absolute tolerance of a step, in x, and in log p, which is held to 0.3 atol nats a
            dimension: over all steps the error is then about atol nats a dimension.
        log_prob_rtol: relative tolerance of a step in log p; none if None.
        log_prob_atol: absolute tolerance of a step in log p, in nats, for all dimensions together.
        t_min: where to start; the process's own t_min if None.
        correction: "none" takes x as the state at t_min, as published numbers do; "decoder" is an
            unbiased estimate, from one draw of x_t and one evaluation more, of a lower bound on the
            log density of x when the last step to it is taken by a Gaussian decoder. Over many keys
            the bound is the mean; the log-mean-exp tends to the log density itself.
        method: a name of `scoresde.ode.METHODS`. "tsit5" and "dopri8" are for denoisers smooth in
            t; embeddings of t in a network ripple, and they then take several times bs5's
            evaluations.
        max_steps: bound on the solver's steps; a sample that needs more has `finished` False.
        precision: of the solver's state, "float32" or "float64" (not on TPUs; not inside a function
            that JAX transforms, unless it has 64 bits everywhere); the denoiser is evaluated in
            float32 either way. Results are float32.

    Raises:
        UsageError: unknown trace, method, correction or precision, no probes or steps, a tolerance
            that is not positive, or a number that JAX is tracing.
    """

    of_levels: ClassVar[bool] = False

    trace: str | traces.Trace = "rademacher"
    probes: int = 1
    rtol: float = 1e-5
    atol: float = 1e-5
    log_prob_rtol: float | None = None
    log_prob_atol: float | None = None
    t_min: float | None = None
    correction: str = "none"
    method: str = "bs5"
    max_steps: int = 10_000
    precision: str = "float32"

    def __post_init__(self):
        check_fields(self)
        check_known(**{name: getattr(self, name) for name in ("probes", *_NUMBERS)})
        traces.get(self.trace, self.probes)
        check_choice("correction", self.correction, CORRECTIONS)
        check_choice("precision", self.precision, PRECISIONS)
        given = {name: getattr(self, name) for name in _TOLERANCES}
        given = {name: value for name, value in given.items() if value is not None}
        ode.check(self.method, **given)

    def __call__(
        self, key: Array, denoiser: BaseDenoiser, x: Array, condition: Condition = None
    ) -> LogProb:
        """The log-likelihood of each sample in nats, with its error bar.

        Args:
            key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample:
                a sample's probes come from its own key, so its number does not depend on the batch.
            denoiser: a Denoiser or an analytic one.
            x: data, [batch, ...], already dequantized and in the range that the denoiser works in.
            condition: what is known of each sample, by name: arrays [batch, ...].

        Raises:
            UsageError: a t_min outside the process, or where the flow is infinitely fast or has no
                noise to decode from, x that is empty or not real, a condition of other samples, a
                network that knows discrete levels only, a denoiser that holds the data of several
                samples itself, or float64 asked for where it cannot be had.
        """
        check_denoiser(denoiser)
        key, denoiser, x, condition = automatic((key, denoiser, x, condition))
        require_continuous_time(denoiser, "The exact likelihood")
        t_min = denoiser.sde.t_min if self.t_min is None else float(self.t_min)
        if not 0 <= t_min < denoiser.sde.t_max:
            raise UsageError(f"t_min must lie in [0, {denoiser.sde.t_max}), got {t_min}.")
        require_flow(denoiser.sde, t_min)
        if self.correction == "decoder":
            require_noise(denoiser.sde, t_min, "The decoder")
        x = check_values(x)
        condition = check_condition(condition, len(x), denoiser)
        arguments = sample_keys(key, len(x)), denoiser, x, condition
        options = {"trace": traces.get(self.trace, self.probes), "t_min": t_min}
        options |= {"correction": self.correction, "method": self.method}
        options |= {name: getattr(self, name) for name in ("rtol", "atol", "max_steps")}
        options |= {"log_prob_rtol": self.log_prob_rtol or 0.0}
        options |= {"log_prob_atol": self.log_prob_atol}
        if self.precision == "float32":
            return nan_if_unknown(_log_prob(*arguments, **options))
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments))
        if traced and not jax.config.jax_enable_x64:
            raise UsageError(
                "precision='float64' cannot be had inside jit, vmap or grad: call log_prob outside "
                "of them (it compiles itself), or set jax_enable_x64."
            )
        with jax.enable_x64(True):
            result = _log_prob(*arguments, **options, state_dtype="float64")
            floats = {"nats": result.nats, "stderr": result.stderr, "latent": result.latent}
            floats = jax.tree.map(lambda values: values.astype(x.dtype), floats)
            result = result._replace(**floats, nfe=result.nfe.astype(jnp.int32))
        return nan_if_unknown(result)


def log_prob(
    key: Array, denoiser: BaseDenoiser, x: Array, *, condition: Condition = None, **options: Any
) -> LogProb:
    """The exact log-likelihood of each sample in nats, with its error bar.

        log_prob(key, denoiser, x, probes=8, rtol=1e-4, condition={"label": labels})

    Args:
        key: see `ExactLikelihood.__call__`, which this is; as for `denoiser`, `x` and `condition`.
        denoiser: a Denoiser or an analytic one.
        x: real data, [batch, ...].
        condition: what is known of each sample.
        **options: of `ExactLikelihood`.

    Raises:
        UsageError: as of `ExactLikelihood` and its call.
    """
    likelihood = make("likelihood", {"exact": ExactLikelihood}, "exact", **options)
    return likelihood(key, denoiser, x, condition)
