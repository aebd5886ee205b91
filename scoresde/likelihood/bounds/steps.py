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
from scoresde.likelihood.bounds.decoders import GAUSSIAN_DECODERS, level_values
from scoresde.likelihood.bounds.result import Bound, make_bound, measure_at
from scoresde.likelihood.bounds.step_costs import mean_cost, variance_cost
from scoresde.likelihood.bounds.terms import prior_cost
from scoresde.likelihood.checks import check_counts, check_images, check_t_min
from scoresde.likelihood.standard_errors import nan_if_unknown
from scoresde.plain import check_fields
from scoresde.predictions import with_x0
from scoresde.registry import UsageWarning, component, member
from scoresde.times import is_traced, make_grid, require_noise, stratified_uniforms
from scoresde.variances import Variance


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
            times, which may start below t_max, with the prior that `sample` has there.
        variance: of p(x_s | x_t) and of the decoder, one of `scoresde.variances.VARIANCES` or its
            name: "posterior", that of q(x_s | x_t, x_0), DDPM's beta tilde; "forward", b^2, DDPM's
            beta; or "learned", the network's, pixel by pixel.
        decoder: how the mass of a level's bin is computed, a name of `GAUSSIAN_DECODERS`: "exact",
            or "tanh" as in the published code of DDPM and its successors.
        clip: whether the predicted x0 is clipped to the range of the levels, as the published code
            does where it evaluates the bound, though not where it is trained.
        samples: steps evaluated for each sample, a stratified subset; all of them if None.
        repeats: independent repeats, whose spread is the standard error; each step of a repeat has
            noise of its own. With one repeat the standard error is NaN.
        t_min: where a named grid ends; the process's own t_min if None.

    Raises:
        UsageError: unknown variance or decoder, or counts that are not positive.
    """

    of_levels: ClassVar[bool] = True

    steps: int | None = None
    grid: Any = None
    variance: str | Variance = "posterior"
    decoder: str = "exact"
    clip: bool = False
    samples: int | None = None
    repeats: int = 1
    t_min: float | None = None

    def __post_init__(self):
        check_fields(self)
        variance = component("variance", variances.VARIANCES, self.variance, Variance)
        object.__setattr__(self, "variance", variance)
        member("decoder", GAUSSIAN_DECODERS, self.decoder)
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
            decoder=self.decoder,
            clip=self.clip,
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
    jax.jit,
    static_argnames=("variance", "decoder", "clip", "samples", "repeats", "bins", "level_range"),
)
def _ddpm(
    keys,
    denoiser,
    images,
    condition,
    times,
    *,
    variance,
    decoder,
    clip,
    samples,
    repeats,
    bins,
    level_range,
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
        if clip:
            x0_in_range = jnp.clip(prediction.x0, *level_range)
            prediction = with_x0(prediction, sde, times[number], x0_in_range)
        first = jnp.minimum(number, steps - 1)  # no step starts at the end
        step = times[first], times[first + 1], prediction
        cost = total(mean_cost(sde, variance, *step, x0, noise))
        if not variance.fixed:
            cost += total(variance_cost(sde, variance, *step))
        std = jnp.sqrt(variance.of_decoder(sde, times[-1], times[-2], prediction))
        return cost, GAUSSIAN_DECODERS[decoder](images, prediction.x0, std, bins, level_range)

    number = jax.vmap(draw)(jnp.arange(repeats))
    number = jnp.concatenate([number, jnp.full((repeats, 1, batch), steps)], axis=1)
    measured = measure_at(noise_keys, denoiser, x, jnp.reshape(number, (-1, batch)), measure)
    cost, decoder_cost = (jnp.reshape(values, number.shape) for values in measured)
    diffusion = steps * jnp.mean(cost[:, :-1], axis=1)
    if variance.fixed:  # known of all steps, whichever are evaluated
        each = variance_cost(sde, variance, times[:-1], times[1:], None)
        diffusion += math.prod(x.shape[1:]) * jnp.sum(each)
    # Of a chain that starts below t_max, the prior is the one that `sample` draws from there.
    prior_std = sde.prior_std * sde.sigma(times[0]) / sde.sigma(sde.t_max)
    prior = prior_cost(sde, x, times[0], prior_std)
    return make_bound(prior, diffusion, decoder_cost[:, -1], repeats * (samples + 1))
