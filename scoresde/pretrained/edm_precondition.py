"""How EDM feeds and reads its networks (Karras et al. 2022, arXiv:2206.00364, table 1).

EDM describes every network as a denoiser D(x; sigma) on the process x = x_0 + sigma noise, whatever
process it was trained on. Here the same networks are predictions, which hold on any process: x is
x_t / alpha there, and sigma is sigma / alpha.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde import predictions
from scoresde.sdes import SDE


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
    """The time when VP has this sigma / alpha, times the last level's number: 999 t.

    Attributes:
        beta_min: VP's beta at t = 0.
        beta_d: what beta has grown by at t = 1.
        M: number of levels.
    """

    beta_min: float = 0.1
    beta_d: float = 19.9
    M: int = 1000

    def __call__(self, sde: SDE, t: Array) -> Array:
        # 1 + sigma^2 rounds small sigma away; the network was trained with what is left of it.
        integral = jnp.log(1 + jnp.square(sde.sigma(t) / sde.alpha(t)))
        root = jnp.sqrt(self.beta_min**2 + 2 * self.beta_d * integral)
        return (self.M - 1) * ((root - self.beta_min) / self.beta_d)


@functools.cache
def iddpm_levels(C_1: float, C_2: float, M: int) -> np.ndarray:
    """sigma of no noise and of iDDPM's M levels, the least first (its cosine schedule)."""
    angle = 0.5 * math.pi * np.arange(M + 1) / (M * (1 + C_2))
    alpha_bar = np.sin(angle) ** 2  # of the levels counted from the noisiest on
    ratio = np.maximum(alpha_bar[:-1] / alpha_bar[1:], C_1)
    squares = [0.0]
    for step in reversed(ratio):
        squares.append((squares[-1] + 1) / step - 1)
    return np.sqrt(squares)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NearestLevel:
    """The number of the nearest of iDDPM's levels, 0 for the least noise and -1 for none.

    Attributes:
        C_1: least ratio of successive alpha_bar.
        C_2: offset of the cosine schedule.
        M: number of levels.
    """

    C_1: float = 0.001
    C_2: float = 0.008
    M: int = 1000

    def __call__(self, sde: SDE, t: Array) -> Array:
        sigma = jnp.exp(-0.5 * sde.log_snr(t))
        levels = jnp.asarray(iddpm_levels(self.C_1, self.C_2, self.M), jnp.float32)
        nearest = jnp.argmin(jnp.abs(sigma[..., None] - levels), axis=-1)
        return nearest.astype(jnp.float32) - 1


class Precondition(NamedTuple):
    """One of EDM's preconditionings.

    Attributes:
        prediction: makes the prediction from the options.
        options: its own arguments that the prediction depends on.
        model_type: the network that EDM builds if it is not told which.
    """

    prediction: Callable[..., predictions.PredictionKind]
    options: tuple[str, ...]
    model_type: str


PRECONDITIONS = {
    "EDMPrecond": Precondition(predictions.EDM, ("sigma_data",), "DhariwalUNet"),
    "VPPrecond": Precondition(
        lambda **options: RescaledNoise(time_input=TimeOfVP(**options)),
        ("beta_min", "beta_d", "M"),
        "SongUNet",
    ),
    "VEPrecond": Precondition(lambda: NegativeNoise(time_input=LogHalfSigma()), (), "SongUNet"),
    "iDDPMPrecond": Precondition(
        lambda **options: RescaledNoise(time_input=NearestLevel(**options)),
        ("C_1", "C_2", "M"),
        "DhariwalUNet",
    ),
}
"""Preconditionings by the names of EDM's classes."""


def name_of(network_kwargs: Mapping[str, Any]) -> str:
    """The class of the preconditioning, for which EDM itself writes `class_name`."""
    name = network_kwargs.get("precond", network_kwargs.get("class_name", "EDMPrecond"))
    return str(name).rpartition(".")[2]


def prediction_of(network_kwargs: Mapping[str, Any]) -> predictions.PredictionKind | None:
    """How the network inside of EDM's preconditioning is fed and read; None if it is not known.

    Args:
        network_kwargs: `precond` (or `class_name`), "EDMPrecond" if neither is given, and the
            preconditioning's own arguments.
    """
    precondition = PRECONDITIONS.get(name_of(network_kwargs))
    if precondition is None:
        return None
    options = {k: network_kwargs[k] for k in precondition.options if k in network_kwargs}
    return precondition.prediction(**options)
