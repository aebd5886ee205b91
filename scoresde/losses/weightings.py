"""Weightings of the loss at time t: they make one objective of score matching of another.

The loss is  w(t) ||predicted noise - noise||^2,  and w names the objective:

    noise       w = 1             lambda = sigma^2 of score_sde; DDPM's L_simple; SMLD
    likelihood  w = g^2 / sigma^2 lambda = g^2 (Song et al. 2021, arXiv:2101.09258)
    edm         w = 1 + (sigma / (alpha sigma_data))^2  (arXiv:2206.00364, table 1)
    min_snr     w = min(1, gamma / SNR)               (arXiv:2303.09556)
    p2          w = 1 / (k + SNR)^gamma               (arXiv:2204.00227)
    sigmoid     w = sigmoid(b - log SNR) g^2 / sigma^2  (arXiv:2303.00848, arXiv:2410.19324)

A weighting is `(sde, t [batch]) -> w [batch]`.
"""

import dataclasses

import jax.numpy as jnp
from jax import Array

from scoresde.likelihood.bounds.terms import snr_decay
from scoresde.losses.snr_weightings import MinSNRWeighting, P2Weighting, SigmoidWeighting
from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.sdes import SDE


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseWeighting:
    """lambda = sigma^2."""

    def __call__(self, sde: SDE, t: Array) -> Array:
        return jnp.ones_like(t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodWeighting:
    """lambda = g^2: the expected loss bounds the negative log-likelihood."""

    def __call__(self, sde: SDE, t: Array) -> Array:
        return snr_decay(sde, t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDMWeighting:
    """(s^2 + sigma_data^2) / (s sigma_data)^2 on the data error, at s = sigma / alpha.

    Attributes:
        sigma_data: the standard deviation of the data, in the data's own units.

    Raises:
        UsageError: it is not positive.
    """

    sigma_data: float = 0.5

    def __post_init__(self):
        check_fields(self)
        if not self.sigma_data > 0:
            raise UsageError(f"EDM's weighting needs sigma_data > 0, got {self.sigma_data}.")

    def __call__(self, sde: SDE, t: Array) -> Array:
        return 1 + jnp.exp(-sde.log_snr(t)) / self.sigma_data**2


WEIGHTINGS = {
    "noise": NoiseWeighting,
    "likelihood": LikelihoodWeighting,
    "edm": EDMWeighting,
    "min_snr": MinSNRWeighting,
    "p2": P2Weighting,
    "sigmoid": SigmoidWeighting,
}
