"""The bounds in continuous time: of densities (score_flow) and of discrete images (VDM)."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde import times as time_distributions
from scoresde.denoiser import (
    BaseDenoiser,
    Condition,
    check_condition,
    check_denoiser,
    predict,
    require_continuous_time,
)
from scoresde.keys import fold_in, sample_keys, split
from scoresde.likelihood.bounds.decoders import marginal_decoder_cost
from scoresde.likelihood.bounds.terms import (
    Bound,
    check_counts,
    check_levels,
    check_noise,
    check_t_min,
    evaluate,
    level_values,
    make_bound,
    prior_cost,
    squared_errors,
    sum_squares,
)
from scoresde.registry import UsageError, lookup

# The time distributions whose weights make the integral over time unbiased.
TIMES = {
    name: time_distributions.DISTRIBUTIONS[name]
    for name in ("uniform", "stratified", "likelihood_importance")
}

FORMS = ("dsm", "ssm")


def _denoising(keys, denoiser, x0, noise, t):
    """||predicted noise - noise||^2, as in denoising score matching."""
    sde = denoiser.sde
    prediction = predict(denoiser, sde.perturb(x0, noise, t), t)
    return squared_errors(sde, prediction, x0, noise, t)[0]


def _steadied_denoising(keys, denoiser, x0, noise, t):
    """The same, less a multiple of ||noise||^2 - d, whose mean is zero.

    Of data with a density, a prediction at small t misses the noise altogether, and the error is
    about ||noise||^2; at large t it misses none. The multiple alpha^4 / (alpha^2 + sigma^2)^2,
    which goes from one to zero between, is what data N(0, I) would ask for. (Of data on a grid,
    the noise is told from the data at small t too, and this would only add to the variance.)
    """
    surplus = sum_squares(noise) - math.prod(noise.shape[1:])
    error = _denoising(keys, denoiser, x0, noise, t)
    return error - jax.nn.sigmoid(denoiser.sde.log_snr(t)) ** 2 * surplus


def _sliced(keys, denoiser, x0, noise, t, *, probes):
    """The same expectation without the noise, as in (sliced) score matching.

    By Stein's identity E[noise . predicted] = sigma E[div predicted], hence
    E||predicted - noise||^2 = E[||predicted||^2 - 2 sigma div predicted] + d.
    """
    x = denoiser.sde.perturb(x0, noise, t)
    predicted, jacobian_product = jax.linearize(lambda x: predict(denoiser, x, t).noise, x)

    def draw(key):
        return jax.random.rademacher(key, (probes, *x.shape[1:]), x.dtype)

    vectors = jax.vmap(draw, out_axes=1)(keys)  # [probes, batch, ...]
    products = vectors * jax.vmap(jacobian_product)(vectors)
    divergence = jnp.sum(jnp.reshape(products, (*products.shape[:2], -1)), axis=2).mean(axis=0)
    dims = math.prod(x.shape[1:])
    return sum_squares(predicted) - 2 * denoiser.sde.sigma(t) * divergence + dims


def _diffusion_cost(keys, denoiser, x, measure, times, samples, repeats, t_min):
    """1/2 int_{t_min}^{t_max} g^2/sigma^2 E||predicted noise - noise||^2 dt, [repeats, batch].

    Also returns the expectation at t_min alone, [repeats, batch], which costs one more evaluation
    of the denoiser a repeat, in the same loop.
    """
    sde, batch = denoiser.sde, x.shape[0]
    distribution = times(sde=sde, t_min=t_min)
    time_keys, noise_keys = split(keys)

    def draw(number):
        keys = fold_in(time_keys, number)
        return jax.vmap(lambda key: distribution(key, samples), out_axes=1)(keys)

    t, weight = jax.vmap(draw)(jnp.arange(repeats))  # [repeats, samples, batch]
    weight = weight * sde.diffusion_squared(t) / sde.sigma(t) ** 2
    t = jnp.concatenate([t, jnp.full((repeats, 1, batch), t_min, t.dtype)], axis=1)
    errors = evaluate(noise_keys, denoiser, x, jnp.reshape(t, (-1, batch)), measure)
    errors = jnp.reshape(errors, t.shape)
    cost = 0.5 * (sde.t_max - t_min) * jnp.mean(weight * errors[:, :-1], axis=1)
    return cost, errors[:, -1]


_STATIC = ("times", "samples", "repeats", "t_min")


@functools.partial(jax.jit, static_argnames=(*_STATIC, "form", "probes", "offset"))
def _score_flow_bound(
    keys, denoiser, x, condition, *, form, probes, offset, t_min, samples, repeats, times
):
    denoiser = denoiser.given(condition)
    measure = _steadied_denoising if form == "dsm" else functools.partial(_sliced, probes=probes)
    diffusion, error_at_t_min = _diffusion_cost(
        keys, denoiser, x, measure, times, samples, repeats, t_min
    )
    sde, dims = denoiser.sde, math.prod(x.shape[1:])
    if offset:  # -log N(x; E[x_0 | x_tmin], (sigma / alpha)^2 I)
        reconstruction = 0.5 * dims * (jnp.log(2 * jnp.pi) - sde.log_snr(t_min))
        reconstruction += 0.5 * error_at_t_min
    else:  # the entropy of q(x_tmin | x)
        entropy = 0.5 * dims * (jnp.log(2 * jnp.pi) + 1 + 2 * jnp.log(sde.sigma(t_min)))
        reconstruction = jnp.broadcast_to(entropy, diffusion.shape)
    nfe = repeats * (samples + 1)
    return make_bound(prior_cost(sde, x), diffusion, reconstruction, nfe)


@functools.partial(jax.jit, static_argnames=(*_STATIC, "bins", "data_range"))
def _vdm_bound(
    keys, denoiser, levels, condition, *, bins, data_range, t_min, samples, repeats, times
):
    denoiser = denoiser.given(condition)
    x = level_values(levels, bins, data_range)
    diffusion, _ = _diffusion_cost(keys, denoiser, x, _denoising, times, samples, repeats, t_min)
    snr = jnp.exp(denoiser.sde.log_snr(t_min))
    reconstruction = marginal_decoder_cost(levels, snr, bins, data_range)
    reconstruction = jnp.broadcast_to(reconstruction, diffusion.shape)
    nfe = repeats * (samples + 1)
    return make_bound(prior_cost(denoiser.sde, x), diffusion, reconstruction, nfe)


def _prepare(key, denoiser, batch, condition, times, samples, repeats, t_min):
    check_counts(samples=samples, repeats=repeats)
    if not callable(times):
        times = lookup("time distribution of a bound", TIMES, times)
    check_denoiser(denoiser)
    require_continuous_time(denoiser, "A bound in continuous time")
    t_min = check_t_min(denoiser.sde, t_min)
    check_noise(denoiser.sde, t_min)
    options = {"times": times, "samples": int(samples), "repeats": int(repeats), "t_min": t_min}
    return sample_keys(key, batch), check_condition(condition, batch), options


def score_flow_bound(
    key: Array,
    denoiser: BaseDenoiser,
    x: Array,
    *,
    form: str = "dsm",
    samples: int = 64,
    repeats: int = 16,
    times: str | Callable[..., Any] = "likelihood_importance",
    probes: int = 1,
    offset: bool = True,
    t_min: float | None = None,
    condition: Condition = None,
) -> Bound:
    """A lower bound on the log density of the score SDE, log p(x), per sample.

    Theorem 3 of Song et al. 2021, arXiv:2101.09258, on [t_min, t_max], bounds the density p_tmin
    that the reverse SDE reaches at t_min: with the forward process q from x,

        E_q[log p_tmin(x_tmin)] >= E_q[log prior(x_tmax)]
            - 1/2 int E_q[g^2 ||s - grad log q||^2 - g^2 ||grad log q||^2 - 2 div f] dt.

    Here s = -predicted noise / sigma, grad log q = -noise / sigma and div f = d f(t), and since
    g^2 / sigma^2 = -d log_snr / dt  all but the first term of the integral can be taken exactly.
    The factors alpha at the ends cancel, and the right side is

        -KL(q(x_tmax | x) || prior) - 1/2 int g^2/sigma^2 E||predicted noise - noise||^2 dt
            - d/2 log(2 pi e sigma(t_min)^2).

    That is the bound for `offset=False`. It concerns x blurred as the process is at t_min; it does
    not bound log p_tmin at x itself. `offset=True` goes on to the density of x: with the decoder
    p(x | x_tmin) = N(E[x_0 | x_tmin], (sigma / alpha)^2 I) around Tweedie's mean (the paper's
    appendix; the posterior for data that are flat over the width of the noise),

        log p(x) >= E_q[log p(x | x_tmin) - log q(x_tmin | x) + log p_tmin(x_tmin)],

    where the second term cancels the entropy above and the first is
    -d/2 log(2 pi sigma^2 / alpha^2) - 1/2 E||predicted noise - noise||^2 at t_min.

    Args:
        key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample.
        denoiser: a Denoiser or an analytic one; the prior is its process's.
        x: real data, [batch, ...], in the range that the denoiser works in.
        form: "dsm" compares the prediction with the noise; "ssm" takes its divergence instead, by
            Hutchinson's estimator. Both have the same expectation.
        samples: times drawn together for each sample; stratified, unless `times` says otherwise.
        repeats: independent sets of `samples` times, whose spread is the standard error.
        times: "likelihood_importance", "stratified", "uniform" or a function
            (sde=, t_min=) -> time distribution on [t_min, t_max], see `scoresde.times`.
        probes: Rademacher probes a time, for "ssm".
        offset: whether to bound the density of x, not the mean of log p_tmin over blurred x.
        t_min: where to start; the process's own t_min if None.
        condition: what is known of each sample, by name: arrays [batch, ...].

    Raises:
        UsageError: unknown form or times, counts that are not positive, t_min outside the process
            or without noise, integer x, or times that cannot be importance-sampled because nothing
            of the data is left at t_max (rectified flow: give it a t_max < 1).
    """
    x = jnp.asarray(x)
    if form not in FORMS:
        raise UsageError(f"Unknown form of the bound {form!r}. Known: {', '.join(FORMS)}.")
    check_counts(probes=probes)
    if not jnp.issubdtype(x.dtype, jnp.floating) or x.ndim < 2:
        raise UsageError(
            f"score_flow_bound takes real values [batch, ...], got {x.dtype} of shape {x.shape}: "
            "dequantise integer images first, or use vdm_bound."
        )
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    keys, condition, options = _prepare(
        key, denoiser, len(x), condition, times, samples, repeats, t_min
    )
    return _score_flow_bound(
        keys, denoiser, x, condition, form=form, probes=int(probes), offset=bool(offset), **options
    )


def vdm_bound(
    key: Array,
    denoiser: BaseDenoiser,
    levels: ArrayLike,
    *,
    bins: int = 256,
    data_range: tuple[float, float] = (-1.0, 1.0),
    samples: int = 64,
    repeats: int = 16,
    times: str | Callable[..., Any] = "likelihood_importance",
    t_min: float | None = None,
    condition: Condition = None,
) -> Bound:
    """A lower bound on the log probability of discrete images, log P(levels), per sample.

    The variational bound of Kingma et al. 2021, arXiv:2107.00630, equations 11 to 18, in infinitely
    many steps and for any process:

        prior           KL(q(x_tmax | x) || prior)
        diffusion       1/2 int -d log_snr/dt E||predicted noise - noise||^2 dt
        reconstruction  -E[log p(levels | x_tmin)], p(k | z) = q(z | k) / sum over j of q(z | j).

    Only the diffusion term needs the network and has an error; no dequantisation is involved. It is
    differentiable with respect to the denoiser, learned fields of its process included.

    Level k stands for low + (high - low) k / (bins - 1), the values of `scoresde.data.to_unit`. For
    a network trained on dequantised images, whose levels are centred at (k + 1/2) / bins, give a
    `data_range` that is half a bin narrower at each end.

    Args:
        key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample.
        denoiser: a Denoiser or an analytic one.
        levels: integers in 0 .. bins - 1, [batch, ...].
        bins: number of grey levels.
        data_range: the values of the first and the last level, in the denoiser's range.
        samples: times drawn together for each sample; stratified, unless `times` says otherwise.
        repeats: independent sets of `samples` times, whose spread is the standard error.
        times: as in `score_flow_bound`.
        t_min: where to start; the process's own t_min if None.
        condition: what is known of each sample, by name: arrays [batch, ...].

    Raises:
        UsageError: as `score_flow_bound`; levels that are not integers in 0 .. bins - 1.
    """
    data_range = tuple(float(end) for end in data_range)
    levels = check_levels(levels, bins, data_range)
    keys, condition, options = _prepare(
        key, denoiser, len(levels), condition, times, samples, repeats, t_min
    )
    return _vdm_bound(
        keys, denoiser, levels, condition, bins=int(bins), data_range=data_range, **options
    )
