"""Ways to estimate the log-likelihood of discrete images, behind one call.

    estimator(noise_keys, keys, denoiser, levels, condition) -> Estimate

`exact` and `score_flow` concern a density of dequantised images, `vdm` and `ddpm` the probability
of the levels themselves. Numbers of different estimators do not compare.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import data, likelihood
from scoresde.denoiser import BaseDenoiser, Condition


class Estimate(NamedTuple):
    """A log-likelihood per image; every field is [batch].

    Attributes:
        nats: the estimate in nats.
        stderr: its standard error over probes or repeats; NaN where there is one.
        nfe: evaluations of the network.
        finished: whether the computation came to its end with a finite result.
    """

    nats: Array
    stderr: Array
    nfe: Array
    finished: Array


@functools.partial(jax.jit, static_argnames=("bins", "bin_range"))
def _dequantize(dequantizer, keys, levels, *, bins, bin_range):
    unit, log_q = dequantizer(keys, levels, bins)
    return data.scale(unit, bin_range), log_q


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfDensity:
    """log density of the dequantised image, less the log density of the noise.

    Attributes:
        dequantizer: see `scoresde.dequantization`.
        bins: number of grey levels.
        bin_range: (low, high), what the bins fill in the denoiser's range.
        options: further options of the function.
        log_density: `likelihood.log_prob` or `likelihood.score_flow_bound`.
    """

    dequantized: ClassVar[bool] = True

    dequantizer: Callable
    bins: int
    bin_range: tuple[float, float]
    options: Mapping[str, Any]
    log_density: Callable

    def __call__(
        self,
        noise_keys: Array,
        keys: Array,
        denoiser: BaseDenoiser,
        levels: Array,
        condition: Condition = None,
    ) -> Estimate:
        """Estimates.

        Args:
            noise_keys: one key per image, [batch], for the noise within its bins.
            keys: one key per image, [batch], for the probes or times.
            denoiser: the denoiser.
            levels: integers, [batch, ...].
            condition: what is known of each image, see `scoresde.denoiser`.
        """
        x, log_q = _dequantize(
            self.dequantizer, noise_keys, levels, bins=self.bins, bin_range=self.bin_range
        )
        result = self.log_density(keys, denoiser, x, condition=condition, **self.options)
        finished = getattr(result, "finished", jnp.isfinite(result.nats))
        return Estimate(result.nats - log_q, result.stderr, result.nfe, finished)

    def bits_per_dim(self, nats: Array, num_dims: int) -> Array:
        """Bits per dimension of the discrete image from `Estimate.nats`."""
        return likelihood.bits_per_dim(nats, num_dims, bins=self.bins, data_range=self.bin_range)


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfLevels:
    """log probability of the levels, without dequantisation.

    Attributes:
        bins: number of grey levels.
        level_range: the values of the first and the last level in the denoiser's range.
        options: further options of the function.
        log_probability: `likelihood.vdm_bound` or `likelihood.ddpm_bound`.
    """

    dequantized: ClassVar[bool] = False

    bins: int
    level_range: tuple[float, float]
    options: Mapping[str, Any]
    log_probability: Callable

    def __call__(
        self,
        noise_keys: Array,
        keys: Array,
        denoiser: BaseDenoiser,
        levels: Array,
        condition: Condition = None,
    ) -> Estimate:
        """Estimates; see `OfDensity`. There is no noise within bins."""
        del noise_keys
        result = self.log_probability(
            keys,
            denoiser,
            levels,
            condition=condition,
            bins=self.bins,
            data_range=self.level_range,
            **self.options,
        )
        return Estimate(result.nats, result.stderr, result.nfe, jnp.isfinite(result.nats))

    def bits_per_dim(self, nats: Array, num_dims: int) -> Array:
        """Bits per dimension from `Estimate.nats`."""
        return likelihood.bits_per_dim(nats, num_dims, bins=1, data_range=(0, 1))


ESTIMATORS = {
    "exact": functools.partial(OfDensity, log_density=likelihood.log_prob),
    "score_flow": functools.partial(OfDensity, log_density=likelihood.score_flow_bound),
    "vdm": functools.partial(OfLevels, log_probability=likelihood.vdm_bound),
    "ddpm": functools.partial(OfLevels, log_probability=likelihood.ddpm_bound),
}
