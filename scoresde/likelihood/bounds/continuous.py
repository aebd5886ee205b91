"""What the bounds in continuous time share: times that are drawn, and the error at each of them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import times as time_distributions
from scoresde.condition import Condition, check_condition
from scoresde.denoiser import BaseDenoiser, check_denoiser, require_continuous_time
from scoresde.keys import fold_in, sample_keys, split
from scoresde.likelihood.bounds.result import measure_at
from scoresde.likelihood.bounds.terms import diffusion_cost
from scoresde.likelihood.checks import check_counts, check_t_min
from scoresde.plain import check_fields
from scoresde.registry import lookup

# The time distributions whose weights make the integral over time unbiased.
TIMES = {
    name: time_distributions.DISTRIBUTIONS[name]
    for name in ("uniform", "stratified", "likelihood_importance")
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuousBound:
    """The options of a bound in continuous time.

    Attributes:
        samples: times drawn together for each sample; stratified, unless `times` says otherwise.
        repeats: independent sets of `samples` times, whose spread is the standard error.
        times: "likelihood_importance", "stratified", "uniform" or a function
            (sde=, t_min=) -> time distribution on [t_min, t_max], see `scoresde.times`.
        t_min: where to start; the process's own t_min if None.

    Raises:
        UsageError: unknown times, or counts that are not positive.
    """

    samples: int = 64
    repeats: int = 16
    times: str | Callable[..., Any] = "likelihood_importance"
    t_min: float | None = None

    def __post_init__(self):
        check_fields(self)
        check_counts(samples=self.samples, repeats=self.repeats)
        self._times()

    def _times(self):
        if callable(self.times):
            return self.times
        return lookup("time distribution of a bound", TIMES, self.times)

    def prepare(
        self, key: Array, denoiser: BaseDenoiser, batch: int, condition: Condition
    ) -> tuple[Array, Condition, float]:
        """The keys and the condition of the samples, and t_min, checked.

        Raises:
            UsageError: see the calls of the bounds.
        """
        check_denoiser(denoiser)
        require_continuous_time(denoiser, "A bound in continuous time")
        t_min = check_t_min(denoiser.sde, self.t_min)
        return sample_keys(key, batch), check_condition(condition, batch, denoiser), t_min

    @property
    def nfe(self) -> int:
        """Evaluations of the denoiser."""
        return self.repeats * (self.samples + 1)

    def diffusion(
        self, keys: Array, denoiser: BaseDenoiser, x: Array, measure: Callable, t_min: float
    ) -> tuple[Array, Array]:
        """The diffusion cost, and the error at t_min alone, each [repeats, batch].

        The latter costs one more evaluation of the denoiser a repeat, in the same loop.

        Args:
            keys: one key per sample, [batch].
            denoiser: the denoiser.
            x: data, [batch, ...].
            measure: of the error at a time, see `scoresde.likelihood.bounds.result.measure_at`.
            t_min: where the integral over time starts.
        """
        sde, batch = denoiser.sde, x.shape[0]
        distribution = self._times()(sde=sde, t_min=t_min)
        time_keys, noise_keys = split(keys)

        def draw(number):
            keys = fold_in(time_keys, number)
            return jax.vmap(lambda key: distribution(key, self.samples), out_axes=1)(keys)

        t, weight = jax.vmap(draw)(jnp.arange(self.repeats))  # [repeats, samples, batch]
        all_t = jnp.concatenate([t, jnp.full((self.repeats, 1, batch), t_min, t.dtype)], axis=1)
        errors = measure_at(noise_keys, denoiser, x, jnp.reshape(all_t, (-1, batch)), measure)
        errors = jnp.reshape(errors, all_t.shape)
        cost = diffusion_cost(sde, t_min, t, weight, errors[:, :-1])
        return jnp.mean(cost, axis=1), errors[:, -1]
