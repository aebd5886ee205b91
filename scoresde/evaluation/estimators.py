"""Ways to estimate the log-likelihood of discrete images, behind one call.

    estimator(noise_keys, keys, denoiser, images, condition) -> Estimate

A likelihood is of a density (`exact`, `score_flow`), and then of dequantized images, or of the
levels themselves (`vdm`, `ddpm`). Numbers of different likelihoods do not compare.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import data, dequantization, likelihood
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.registry import UsageError


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimator:
    """A likelihood of images.

    Attributes:
        likelihood: one of `scoresde.likelihood.LIKELIHOODS`.
        bins: number of gray levels.
        level_range: the values of the first and the last level in the denoiser's range, for a
            likelihood of levels.
        bin_range: (low, high), what the bins fill there, for one of a density.
        dequantizer: for one of a density, see `scoresde.dequantization`: the estimate is the log
            density of the dequantized image, less the log density of the noise.

    Raises:
        UsageError: the likelihood lacks what it needs, or has a dequantizer that it does not need
            or that is no JAX pytree.
    """

    likelihood: Callable
    bins: int
    level_range: tuple[float, float] | None = None
    bin_range: tuple[float, float] | None = None
    dequantizer: Callable | None = None

    def __post_init__(self):
        name = type(self.likelihood).__name__
        if self.likelihood.of_levels and (self.dequantizer is not None or self.level_range is None):
            raise UsageError(
                f"{name} is of the levels themselves, without noise in their bins: it takes a "
                "level_range, and no dequantizer."
            )
        if not self.likelihood.of_levels and (self.dequantizer is None or self.bin_range is None):
            raise UsageError(f"{name} is of a density: it takes a dequantizer and a bin_range.")
        if self.dequantizer is not None:
            dequantization.check_dequantizer(self.dequantizer)

    def __call__(
        self,
        noise_keys: Array,
        keys: Array,
        denoiser: BaseDenoiser,
        images: Array,
        condition: Condition = None,
    ) -> Estimate:
        """Estimates.

        Args:
            noise_keys: one key per image, [batch], for the noise within its bins.
            keys: one key per image, [batch], for the probes or times.
            denoiser: the denoiser.
            images: integers, [batch, ...].
            condition: what is known of each image, see `scoresde.denoiser`.
        """
        offset = 0.0
        if self.likelihood.of_levels:
            scale = {"bins": self.bins, "level_range": self.level_range}
            result = self.likelihood(keys, denoiser, images, condition, **scale)
        else:
            known = self.bins, self.bin_range, condition
            x, offset = _dequantize(self.dequantizer, noise_keys, images, *known)
            result = self.likelihood(keys, denoiser, x, condition)
        finished = getattr(result, "finished", jnp.isfinite(result.nats))
        return Estimate(result.nats - offset, result.stderr, result.nfe, finished)

    def bits_per_dim(self, nats: Array, num_dims: int) -> Array:
        """Bits per dimension of the discrete image from `Estimate.nats`."""
        of_density = {"bins": self.bins, "bin_range": self.bin_range}
        of_levels = {"bins": 1, "bin_range": (0, 1)}  # -nats / (d log 2)
        scale = of_levels if self.likelihood.of_levels else of_density
        return likelihood.bits_per_dim(nats, num_dims, **scale)


@functools.partial(jax.jit, static_argnames=("bins", "bin_range"))
def _dequantize(dequantizer, keys, images, bins, bin_range, condition):
    unit, log_q = dequantizer(keys, images, bins, condition)
    return data.scale(unit, bin_range), log_q
