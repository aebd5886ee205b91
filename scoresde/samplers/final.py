"""The final denoising: what is done with the noise that is left at the last time.

Samplers step to t_min > 0, where sigma(t_min) of noise is left. What is done about it is an object,
`denoise`, of every sampler, given by its name or as it is:

    tweedie     E[x_0 | x_t], the posterior mean: one more evaluation
    last_mean   the noiseless mean of one more step, to the clean data, as published with score_sde:
                as many evaluations as such a step takes
    none        the noise is left in
"""

import dataclasses
from typing import Any

from jax import Array

from scoresde.denoiser import BaseDenoiser, predict
from scoresde.registry import UsageError, component


@dataclasses.dataclass(frozen=True, kw_only=True)
class Final:
    """A final denoising. Its sampler is handed to it: what it is and costs may depend on that."""

    def check(self, sampler: Any) -> None:
        """Raises UsageError where this sampler has not what is needed."""

    def evaluations(self, sampler: Any) -> int:
        """Denoiser evaluations that it takes."""
        raise TypeError(f"{type(self).__name__} must define evaluations(sampler).")

    def __call__(self, x: Array, t: Array, denoiser: BaseDenoiser, sampler: Any) -> Array:
        """x [batch, ...] at the last time t, without the noise."""
        raise TypeError(f"{type(self).__name__} must define __call__(x, t, denoiser, sampler).")


class Tweedie(Final):
    """E[x_0 | x_t] (Efron 2011): (x + sigma^2 score) / alpha."""

    def evaluations(self, sampler):
        return 1

    def __call__(self, x, t, denoiser, sampler):
        return predict(denoiser, x, t).x0


class LastMean(Final):
    """The noiseless mean of the predictor's step to the clean data."""

    def check(self, sampler):
        if sampler.last_predictor is None:
            raise UsageError(
                "The final denoising 'last_mean' is the mean of a predictor's step to the clean "
                f"data, which a {type(sampler).__name__} has not; use 'tweedie' or 'none'."
            )

    def evaluations(self, sampler):
        return sampler.last_predictor.evaluations

    def __call__(self, x, t, denoiser, sampler):
        mean, _ = sampler.last_predictor.moments(x, t, None, denoiser)
        return mean


class Nothing(Final):
    """The noise is left in."""

    def evaluations(self, sampler):
        return 0

    def __call__(self, x, t, denoiser, sampler):
        return x


FINALS = {"tweedie": Tweedie, "last_mean": LastMean, "none": Nothing}


def get(denoise: Any) -> Final:
    """The final denoising that is given by its name, by a section with it, or as an object.

    Raises:
        UsageError: it is none.
    """
    return component("final denoising", FINALS, denoise, Final)
