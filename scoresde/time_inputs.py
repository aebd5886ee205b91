"""How a network is told the time: (sde, t [batch]) -> noise condition [batch]."""

import dataclasses

import jax.numpy as jnp
from jax import Array

from scoresde.registry import UsageError
from scoresde.sdes import SDE


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScaledTime:
    """scale * t. The continuous VP and sub-VP networks of score_sde are fed 999 t.

    Attributes:
        scale: the factor.
    """

    scale: float = 999.0

    def __call__(self, sde: SDE, t: Array) -> Array:
        return self.scale * t


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sigma:
    """sigma(t), which the continuous VE networks of score_sde are fed (they take its log)."""

    def __call__(self, sde: SDE, t: Array) -> Array:
        return sde.sigma(t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSigma:
    """scale * log(sigma / alpha); EDM's c_noise is scale = 1/4 (arXiv:2206.00364, table 1).

    Attributes:
        scale: the factor.
    """

    scale: float = 0.25

    def __call__(self, sde: SDE, t: Array) -> Array:
        return -0.5 * self.scale * sde.log_snr(t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gamma:
    """alpha^power: with power=2 the share gamma of the data in x_t of a VP process.

    Palette is told gamma (Saharia et al. 2022, arXiv:2111.05826), SR3's and WaveGrad's code
    sqrt(gamma), power=1 (arXiv:2104.07636; arXiv:2009.00713): the noise, not the time, so that
    another schedule serves for sampling.

    Attributes:
        power: 1 or 2.
    """

    power: int = 2

    def __post_init__(self):
        if self.power not in (1, 2):
            raise UsageError(f"gamma is told with power 1 or 2, not {self.power!r}.")

    def __call__(self, sde: SDE, t: Array) -> Array:
        return sde.alpha(t) ** self.power


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index:
    """The level's number on a grid of `num_scales` levels, for discretely trained networks.

    Attributes:
        num_scales: number of levels.
        descending: whether level 0 is the most noise (SMLD), not the least (DDPM).
        scale: the factor on the number; 1000 / T where T levels are told out of a thousand.
    """

    num_scales: int = 1000
    descending: bool = False
    scale: float = 1.0

    @property
    def trained_levels(self) -> int:
        """How many noise levels the network knows: it is undefined between them."""
        return self.num_scales

    def __call__(self, sde: SDE, t: Array) -> Array:
        index = t / sde.t_max * (self.num_scales - 1)
        number = jnp.round(self.num_scales - 1 - index) if self.descending else index
        return self.scale * number


TIME_INPUTS = {
    "scaled_time": ScaledTime,
    "sigma": Sigma,
    "log_sigma": LogSigma,
    "gamma": Gamma,
    "index": Index,
}
