"""How EDM feeds and reads its networks (Karras et al. 2022, arXiv:2206.00364, table 1).

EDM describes every network as a denoiser D(x; sigma) on the process x = x_0 + sigma noise, whatever
process it was trained on. Here the same networks are predictions, which hold on any process: x is
x_t / alpha there, and sigma is sigma / alpha.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde import predictions
from scoresde.sdes import SDE, VP


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogHalfSigma:
    """ln(sigma / 2), the noise condition of the variance-exploding network."""

    def __call__(self, sde: SDE, t: Array) -> Array:
        return -0.5 * sde.log_snr(t) - math.log(2)


class NegativeNoise(predictions.Noise):
    """The variance-exploding network predicts -noise: D(x) = x + sigma F(x; ln(sigma / 2))."""

    def input_scale(self, sde, t):
        return 1 / sde.alpha(t)

    def coefficients(self, sde, t):
        coefficients = super().coefficients(sde, t)
        return coefficients._replace(
            x0_output=-coefficients.x0_output, noise_output=-coefficients.noise_output
        )

    def target(self, sde, x0, noise, t):
        return -noise


class RescaledNoise(predictions.Noise):
    """Variance-preserving networks predict the noise for an input of their own process's scale.

    D(x) = x - sigma F(x / sqrt(1 + sigma^2); c_noise).
    """

    def input_scale(self, sde, t):
        return 1 / jnp.hypot(sde.alpha(t), sde.sigma(t))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TimeOfVP:
    """999 t at the time t when VP has this sigma / alpha, the condition of its network."""

    def __call__(self, sde: SDE, t: Array) -> Array:
        return 999 * VP(t_min=0.0).time_of_log_snr(sde.log_snr(t))


@functools.cache
def iddpm_levels() -> np.ndarray:
    """sigma of iDDPM's 1000 levels, the least first (its cosine schedule, beta at most 0.999)."""
    angle = 0.5 * math.pi * np.arange(1001) / (1000 * 1.008)
    alpha_bar = np.sin(angle) ** 2  # of the levels counted from the noisiest on
    ratio = np.maximum(alpha_bar[:-1] / alpha_bar[1:], 0.001)
    squares = [0.0]
    for step in reversed(ratio):
        squares.append((squares[-1] + 1) / step - 1)
    return np.sqrt(squares[1:])


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearestLevel:
    """The number of the nearest of iDDPM's levels, 0 for the least noise."""

    def __call__(self, sde: SDE, t: Array) -> Array:
        sigma = jnp.exp(-0.5 * sde.log_snr(t))
        levels = jnp.asarray(iddpm_levels(), jnp.float32)
        return jnp.argmin(jnp.abs(sigma[..., None] - levels), axis=-1).astype(jnp.float32)


def prediction_of(network_kwargs: Mapping[str, Any]) -> predictions.PredictionKind | None:
    """How the network inside of EDM's preconditioning is fed and read; None if it is not known.

    Args:
        network_kwargs: `precond`, "EDMPrecond" if it is not given, and `sigma_data`.
    """
    precond = network_kwargs.get("precond", "EDMPrecond")
    if precond == "EDMPrecond":
        return predictions.EDM(sigma_data=network_kwargs.get("sigma_data", 0.5))
    return {
        "VPPrecond": RescaledNoise(time_input=TimeOfVP()),
        "VEPrecond": NegativeNoise(time_input=LogHalfSigma()),
        "iDDPMPrecond": RescaledNoise(time_input=NearestLevel()),
    }.get(precond)
