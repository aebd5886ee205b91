"""Weightings that are functions of the signal-to-noise ratio, SNR = alpha^2 / sigma^2 = e^lambda.

Papers state them for different losses. Between these,

    ||noise error||^2 = SNR ||x0 error||^2,   ||v error||^2 = (SNR + 1) ||x0 error||^2

(the latter for variance-preserving processes), so that each is one function w of the time on the
error of the noise, as `scoresde.losses.weightings` has it, whatever the network predicts.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.likelihood.bounds.terms import snr_decay
from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.sdes import SDE


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinSNRWeighting:
    """min(SNR, gamma) on the data error: w = min(1, gamma / SNR)  (arXiv:2303.09556, section 3.4).

    Of the paper's forms, min(SNR, gamma) / SNR for the noise and min(SNR, gamma) / (SNR + 1) for v
    are this one, read off another output.

    Attributes:
        gamma: where the weight on the data error stops to grow with the SNR; the paper's is 5.

    Raises:
        UsageError: it is not positive.
    """

    gamma: float = 5.0

    def __post_init__(self):
        check_fields(self)
        if not self.gamma > 0:
            raise UsageError(f"The weighting min-SNR needs gamma > 0, got {self.gamma}.")

    def __call__(self, sde: SDE, t: Array) -> Array:
        return jnp.exp(jnp.minimum(jnp.log(self.gamma) - sde.log_snr(t), 0.0))


@dataclasses.dataclass(frozen=True, kw_only=True)
class P2Weighting:
    """w = 1 / (k + SNR)^gamma  (arXiv:2204.00227, equation 8).

    The paper divides DDPM's lambda_t, which makes the simple loss of the bound: of the error of the
    noise, it is 1.

    Attributes:
        k: bounds the weight of noisy samples, 1 in the paper.
        gamma: how much less the samples with little noise count, 1 or 0.5 in the paper; 0 is the
            weighting `noise`.

    Raises:
        UsageError: k is not positive, or gamma negative.
    """

    k: float = 1.0
    gamma: float = 1.0

    def __post_init__(self):
        check_fields(self)
        if not self.k > 0 or not self.gamma >= 0:
            raise UsageError(
                f"The weighting P2 needs k > 0 and gamma >= 0, got k={self.k}, gamma={self.gamma}."
            )

    def __call__(self, sde: SDE, t: Array) -> Array:
        return jnp.exp(-self.gamma * jnp.logaddexp(jnp.log(self.k), sde.log_snr(t)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class SigmoidWeighting:
    """w = sigmoid(b - lambda) (-d lambda / dt): the bound, weighted by a sigmoid of the log-SNR.

    1/2 E[w ||noise error||^2] at uniform times is the integral over lambda of 1/2 sigmoid(b -
    lambda) E||noise error||^2, and so the same for every schedule (Kingma and Gao 2023,
    arXiv:2303.00848, section 2; with this bias Hoogeboom et al. 2024, arXiv:2410.19324, where it is
    written e^b sigmoid(lambda - b) on the error of x0). The reduction `half_sum` has the 1/2.

    Attributes:
        bias: b, the log-SNR above which details count less; -3 for the pixels of Hoogeboom et al.

    Raises:
        UsageError: it is not finite.
    """

    bias: float = -3.0

    def __post_init__(self):
        check_fields(self)
        if not math.isfinite(self.bias):
            raise UsageError(f"The sigmoid weighting needs a finite bias, got {self.bias}.")

    def __call__(self, sde: SDE, t: Array) -> Array:
        return jax.nn.sigmoid(self.bias - sde.log_snr(t)) * snr_decay(sde, t)
