"""The bound of a reverse chain of finitely many Gaussian steps: DDPM's, on any grid of times."""

import dataclasses
import functools
import math
import warnings
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde import variances
from scoresde.condition import Condition, check_condition
from scoresde.denoiser import BaseDenoiser, check_denoiser, predict, require_levels
from scoresde.keys import fold_in, sample_keys, split
from scoresde.likelihood.bounds.decoders import gaussian_decoder_cost, level_values
from scoresde.likelihood.bounds.result import Bound, make_bound, measure_at
from scoresde.likelihood.bounds.terms import prior_cost, squared_errors
from scoresde.likelihood.checks import check_counts, check_images, check_t_min
from scoresde.likelihood.standard_errors import nan_if_unknown
from scoresde.plain import check_fields
from scoresde.predictions import Prediction
from scoresde.registry import UsageWarning, component
from scoresde.sdes import SDE, expand
from scoresde.times import is_traced, make_grid, require_noise, stratified_uniforms
from scoresde.variances import Variance


def mean_cost(
    sde: SDE,
    variance: Variance,
    t: ArrayLike,
    s: ArrayLike,
    prediction: Prediction,
    x0: Array,
    noise: Array,
) -> Array:
    """What the means cost in KL(q(x_s | x_t, x_0) || p(x_s | x_t)): nats pixel by pixel, like x0.

    They differ by (predicted x0 - x0) alpha_s b^2 / sigma_t^2.

    Args:
        sde: the forward process.
        variance: of p(x_s | x_t).
        t: where the step starts, a scalar or [batch].
        s: where it ends, likewise.
        prediction: at x_t = alpha_t x0 + sigma_t noise.
        x0: the data, [batch, ...].
        noise: of x_t, like x0.
    """
    _, b_squared = sde.transition(s, t)
    slope = expand(sde.alpha(s) * b_squared / sde.sigma(t) ** 2, x0)
    _, error = squared_errors(sde, prediction, x0, noise, t)
    return slope**2 * error / (2 * expand(variance.of_step(sde, t, s, prediction), x0))


def variance_cost(
    sde: SDE, variance: Variance, t: ArrayLike, s: ArrayLike, prediction: Prediction | None
) -> Array:
    """What the variances cost, (r - 1 - log r) / 2 with r the posterior's over that of p.

    Args: as of `mean_cost`, all of the KL but for this. Of the shape of the variance.
    """
    log_r = -variance.log_over_posterior(sde, t, s, prediction)
    return 0.5 * (jnp.expm1(log_r) - log_r)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DDPMBound:
    """A lower bound on the log probability of discrete images under ancestral sampling, per sample.

    Equation 5 of Ho et al. 2020, arXiv:2006.11239: the chain starts from the prior at t_max, goes
    along a grid of times by p(x_s | x_t) = N(posterior mean at the predicted x_0, variance), and
    ends with the discretized Gaussian of equation 13 around E[x_0 | x_tmin]:

        KL(q(x_tmax | x) || prior) + sum over steps of E KL(q(x_s | x_t, x) || p(x_s | x_t))
            - E log p(images | x_tmin).

    From s to t the forward process multiplies by a and adds noise of variance b^2
    (`SDE.transition`). DDPM itself is the process DiscreteVP on its uniform grid of
    num_scales - 1 steps; its bound converges to that of `VDMBound`, at first order, as the steps
    shrink.

    Attributes:
        steps: number of steps of a named grid.
        grid: a name of `scoresde.times.GRIDS` (the process's `default_grid` if None) or decreasing
            times.
        variance: of p(x_s | x_t) and of the decoder, one of `scoresde.variances.VARIANCES` or its
            name: "posterior", that of q(x_s | x_t, x_0), DDPM's beta tilde; "forward", b^2, DDPM's
            beta; or "learned", the network's, pixel by pixel.
        samples: steps evaluated for each sample, a stratified subset; all of them if None.
        repeats: independent repeats, whose spread is the standard error; each step of a repeat has
            noise of its own. With one repeat the standard error is NaN.
        t_min: where a named grid ends; the process's own t_min if None.

    Raises:
        UsageError: unknown variance, or counts that are not positive.
    """

    of_levels: ClassVar[bool] = True

    steps: int | None = None
    grid: Any = None
    variance: str | Variance = "posterior"
    samples: int | None = None
    repeats: int = 1
    t_min: float | None = None

    def __post_init__(self):
        check_fields(self)
        variance = component("variance", variances.VARIANCES, self.variance, Variance)
        object.__setattr__(self, "variance", variance)
        check_counts(repeats=self.repeats)
        if self.samples is not None:
            check_counts(samples=self.samples)

    def __call__(
        self,
        key: Array,
        denoiser: BaseDenoiser,
        images: ArrayLike,
        condition: Condition = None,
        *,
        bins: int = 256,
        level_range: tuple[float, float] = (-1.0, 1.0),
    ) -> Bound:
        """The bound of each image.

        Args:
            key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys, one a sample.
            denoiser: a Denoiser or an analytic one.
            images: integers in 0 .. bins - 1, [batch, ...].
            condition: what is known of each sample, by name: arrays [batch, ...].
            bins: number of gray levels.
            level_range: the values of the first and the last level, see `VDMBound`.

        Warns:
            UsageWarning: a network that was trained at discrete levels is asked between them.

        Raises:
            UsageError: an impossible grid or t_min, no noise at the last time, images that are not
                integers in 0 .. bins - 1, a condition of other samples, more steps than the network
                knows levels, or a learned variance where none is predicted.
        """
        check_denoiser(denoiser)
        level_range = tuple(float(end) for end in level_range)
        images = check_images(images, bins, level_range)
        sde = dataclasses.replace(denoiser.sde, t_min=check_t_min(denoiser.sde, self.t_min))
        times = make_grid(sde, self.steps, self.grid)
        require_noise(sde, times[-1], "The decoder")
        require_levels(denoiser, len(times) - 1)
        _warn_between_levels(denoiser, times)
        bound = _ddpm(
            sample_keys(key, len(images)),
            denoiser,
            images,
            check_condition(condition, len(images), denoiser),
            times,
            variance=self.variance,
            samples=len(times) - 1 if self.samples is None else self.samples,
            repeats=self.repeats,
            bins=int(bins),
            level_range=level_range,
        )
        return nan_if_unknown(bound)


def _warn_between_levels(denoiser: BaseDenoiser, times: Array) -> None:
    """Warns of a chain that visits times at which the network was not trained."""
    levels = denoiser.trained_levels
    if levels is None or is_traced(times):
        return
    index = np.asarray(times, np.float64) / float(denoiser.sde.t_max) * (levels - 1)
    between = int(np.sum(np.abs(index - np.round(index)) > 1e-2))
    if between:
        fitting = [steps for steps in range(1, levels) if (levels - 1) % steps == 0]
        warnings.warn(
            f"{between} of the chain's {len(times)} times lie between the {levels} noise levels "
            "that the network was trained at, where it may say anything; "
            f"{levels - 1} steps visit every level, {', '.join(map(str, fitting[:-1]))} some.",
            UsageWarning,
            stacklevel=3,
        )


@functools.partial(
    jax.jit, static_argnames=("variance", "samples", "repeats", "bins", "level_range")
)
def _ddpm(
    keys, denoiser, images, condition, times, *, variance, samples, repeats, bins, level_range
):
    denoiser = denoiser.given(condition)
    sde, steps, batch = denoiser.sde, len(times) - 1, len(images)
    x = level_values(images, bins, level_range)
    step_keys, noise_keys = split(keys)

    def draw(number):  # the steps to evaluate, [samples, batch]
        if samples == steps:
            return jnp.broadcast_to(jnp.arange(steps)[:, None], (steps, batch))
        keys = fold_in(step_keys, number)
        uniforms = jax.vmap(lambda key: stratified_uniforms(key, samples), out_axes=1)(keys)
        return jnp.minimum(jnp.floor(steps * uniforms).astype(jnp.int32), steps - 1)

    def total(cost):
        return jnp.sum(jnp.reshape(cost, (batch, -1)), axis=1)

    def measure(keys, denoiser, x0, noise, number):
        """The cost of step `number`, and that of a decoder after so many steps."""
        prediction = predict(denoiser, sde.perturb(x0, noise, times[number]), times[number])
        first = jnp.minimum(number, steps - 1)  # no step starts at the end
        step = times[first], times[first + 1], prediction
        cost = total(mean_cost(sde, variance, *step, x0, noise))
        if not variance.fixed:
            cost += total(variance_cost(sde, variance, *step))
        std = jnp.sqrt(variance.of_decoder(sde, times[-1], times[-2], prediction))
        return cost, gaussian_decoder_cost(images, prediction.x0, std, bins, level_range)

    number = jax.vmap(draw)(jnp.arange(repeats))
    number = jnp.concatenate([number, jnp.full((repeats, 1, batch), steps)], axis=1)
    measured = measure_at(noise_keys, denoiser, x, jnp.reshape(number, (-1, batch)), measure)
    cost, decoder_cost = (jnp.reshape(values, number.shape) for values in measured)
    diffusion = steps * jnp.mean(cost[:, :-1], axis=1)
    if variance.fixed:  # known of all steps, whichever are evaluated
        each = variance_cost(sde, variance, times[:-1], times[1:], None)
        diffusion += math.prod(x.shape[1:]) * jnp.sum(each)
    return make_bound(prior_cost(sde, x), diffusion, decoder_cost[:, -1], repeats * (samples + 1))
