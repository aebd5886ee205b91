"""The bound of a reverse chain of finitely many Gaussian steps: DDPM's, on any grid of times."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.denoiser import (
    BaseDenoiser,
    Condition,
    check_condition,
    check_denoiser,
    predict,
    require_levels,
)
from scoresde.keys import fold_in, sample_keys, split
from scoresde.likelihood.bounds.decoders import gaussian_decoder_cost
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
)
from scoresde.registry import UsageError
from scoresde.times import make_grid, stratified_uniforms

VARIANCES = ("posterior", "forward")


def _step_coefficients(sde, t, s, variance):
    """For steps from t to s: (c, r) of  KL = c ||x0 error||^2 + d/2 (r - 1 - log r).

    q(x_s | x_t, x_0) has variance b^2 sigma_s^2 / sigma_t^2 and a mean in which x_0 has the factor
    alpha_s b^2 / sigma_t^2; r is the ratio of its variance to that of p(x_s | x_t).
    """
    _, b_squared = sde.transition(s, t)
    sigma_s, sigma_t = sde.sigma(s), sde.sigma(t)
    posterior = b_squared * (sigma_s / sigma_t) ** 2
    used = posterior if variance == "posterior" else b_squared
    return (sde.alpha(s) * b_squared / sigma_t**2) ** 2 / (2 * used), posterior / used


def _decoder_std(sde, times, variance):
    """Of p(x | x_tmin), the step to the clean data: as published, b or that of the step before."""
    if variance == "forward":
        return sde.sigma(times[-1])
    _, b_squared = sde.transition(times[-1], times[-2])
    return jnp.sqrt(b_squared) * sde.sigma(times[-1]) / sde.sigma(times[-2])


@functools.partial(
    jax.jit, static_argnames=("variance", "samples", "repeats", "bins", "data_range")
)
def _ddpm_bound(
    keys, denoiser, levels, condition, times, *, variance, samples, repeats, bins, data_range
):
    denoiser = denoiser.given(condition)
    sde, steps, batch = denoiser.sde, len(times) - 1, len(levels)
    x = level_values(levels, bins, data_range)
    dims = math.prod(x.shape[1:])
    step_keys, noise_keys = split(keys)
    std = _decoder_std(sde, times, variance)

    def draw(number):  # the steps to evaluate, [samples, batch]
        if samples == steps:
            return jnp.broadcast_to(jnp.arange(steps)[:, None], (steps, batch))
        keys = fold_in(step_keys, number)
        uniforms = jax.vmap(lambda key: stratified_uniforms(key, samples), out_axes=1)(keys)
        return jnp.minimum(jnp.floor(steps * uniforms).astype(jnp.int32), steps - 1)

    number = jax.vmap(draw)(jnp.arange(repeats))
    at_end = jnp.full((repeats, 1, batch), steps)
    t = times[jnp.concatenate([number, at_end], axis=1)]

    def measure(keys, denoiser, x0, noise, t):
        prediction = predict(denoiser, sde.perturb(x0, noise, t), t)
        _, error = squared_errors(sde, prediction, x0, noise, t)
        return error, gaussian_decoder_cost(levels, prediction.x0, std, bins, data_range)

    measured = evaluate(noise_keys, denoiser, x, jnp.reshape(t, (-1, batch)), measure)
    error, decoder_cost = (jnp.reshape(m, t.shape) for m in measured)

    factor, ratio = _step_coefficients(sde, times[:-1], times[1:], variance)
    spread = 0.5 * dims * jnp.sum((ratio - 1) - jnp.log(ratio))
    diffusion = spread + steps * jnp.mean(factor[number] * error[:, :-1], axis=1)
    nfe = repeats * (samples + 1)
    return make_bound(prior_cost(sde, x), diffusion, decoder_cost[:, -1], nfe)


def ddpm_bound(
    key: Array,
    denoiser: BaseDenoiser,
    levels: ArrayLike,
    *,
    steps: int | None = None,
    grid: Any = None,
    variance: str = "posterior",
    bins: int = 256,
    data_range: tuple[float, float] = (-1.0, 1.0),
    samples: int | None = None,
    repeats: int = 1,
    t_min: float | None = None,
    condition: Condition = None,
) -> Bound:
    """A lower bound on the log probability of discrete images under ancestral sampling, per sample.

    Equation 5 of Ho et al. 2020, arXiv:2006.11239: the chain starts from the prior at t_max, goes
    along a grid of times by p(x_s | x_t) = N(posterior mean at the predicted x_0, variance I), and
    ends with the discretised Gaussian of equation 13 around E[x_0 | x_tmin]:

        KL(q(x_tmax | x) || prior) + sum over steps of E KL(q(x_s | x_t, x) || p(x_s | x_t))
            - E log p(levels | x_tmin).

    From s to t the forward process multiplies by a and adds noise of variance b^2
    (`SDE.transition`). DDPM itself is the process DiscreteVP on its uniform grid of
    num_scales - 1 steps; its bound converges to `vdm_bound`, at first order, as the steps shrink.

    Args:
        key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample.
        denoiser: a Denoiser or an analytic one.
        levels: integers in 0 .. bins - 1, [batch, ...].
        steps: number of steps of a named grid.
        grid: a name of `scoresde.times.GRIDS` (the process's `default_grid` if None) or decreasing
            times.
        variance: of p(x_s | x_t): "posterior", that of q(x_s | x_t, x_0), DDPM's beta tilde (and
            for the decoder, that of the step before it), or "forward", b^2, DDPM's beta.
        bins: number of grey levels.
        data_range: the values of the first and the last level, see `vdm_bound`.
        samples: steps evaluated for each sample, a stratified subset; all of them if None.
        repeats: independent repeats, whose spread is the standard error; each step of a repeat has
            noise of its own. With one repeat the standard error is NaN.
        t_min: where a named grid ends; the process's own t_min if None.
        condition: what is known of each sample, by name: arrays [batch, ...].

    Raises:
        UsageError: unknown variance, counts that are not positive, an impossible grid or t_min, no
            noise at the last time, or levels that are not integers in 0 .. bins - 1.
    """
    data_range = tuple(float(end) for end in data_range)
    levels = check_levels(levels, bins, data_range)
    if variance not in VARIANCES:
        raise UsageError(f"Unknown variance {variance!r}. Known: {', '.join(VARIANCES)}.")
    sde = dataclasses.replace(denoiser.sde, t_min=check_t_min(denoiser.sde, t_min))
    times = make_grid(sde, steps, grid)
    check_noise(sde, times[-1])
    samples = len(times) - 1 if samples is None else samples
    check_counts(samples=samples, repeats=repeats)
    check_denoiser(denoiser)
    require_levels(denoiser, len(times) - 1)
    return _ddpm_bound(
        sample_keys(key, len(levels)),
        denoiser,
        levels,
        check_condition(condition, len(levels)),
        times,
        variance=variance,
        samples=int(samples),
        repeats=int(repeats),
        bins=int(bins),
        data_range=data_range,
    )
