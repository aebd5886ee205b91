"""Denoising score matching, of which every training objective here is a weighting.

The loss at time t is  w(t) ||predicted noise - noise||^2,  and w names the objective:

    noise       w = 1             lambda = sigma^2 of score_sde; DDPM's L_simple; SMLD
    likelihood  w = g^2 / sigma^2 lambda = g^2 (Song et al. 2021, arXiv:2101.09258)
    edm         w = 1 + (sigma / (alpha sigma_data))^2  (arXiv:2206.00364, table 1)

The published discrete losses are `noise` on a discrete grid of times (`times.Discrete`): with the
process DiscreteVP and the prediction Noise it is DDPM's, with VE and Score it is SMLD's.

What a network says of a variance beside the mean gets no gradient here: that takes the variational
bound (L_hybrid of arXiv:2102.09672), which in turn leaves the mean alone.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import Condition
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError
from scoresde.sdes import SDE


def noise_weighting(sde: SDE, t: Array) -> Array:
    """lambda = sigma^2."""
    return jnp.ones_like(t)


def likelihood_weighting(sde: SDE, t: Array) -> Array:
    """lambda = g^2: the expected loss bounds the negative log-likelihood."""
    return sde.diffusion_squared(t) / sde.sigma(t) ** 2


def edm_weighting(sde: SDE, t: Array, sigma_data: float = 0.5) -> Array:
    """(s^2 + sigma_data^2) / (s sigma_data)^2 on the data error, at s = sigma / alpha."""
    return 1 + jnp.exp(-sde.log_snr(t)) / sigma_data**2


WEIGHTINGS = {
    "noise": noise_weighting,
    "likelihood": likelihood_weighting,
    "edm": edm_weighting,
}

REDUCTIONS = {
    "mean": lambda square: jnp.mean(square, axis=1),
    "half_sum": lambda square: 0.5 * jnp.sum(square, axis=1),  # score_sde's reduce_mean=False
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoisingScoreMatching:
    """E_t,x_0,noise [ w(t) ||predicted noise - noise||^2 ]  (arXiv:2011.13456, equation 7).

    Attributes:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `apply(params, x, noise_condition, condition, *, train, rng) -> output`.
        times: `(key, n) -> (t, weight)`, see `scoresde.times`.
        weighting: `(sde, t) -> w`.
        reduction: "mean" over the dimensions of a sample, or "half_sum".
    """

    sde: SDE
    prediction: PredictionKind
    network: Callable[..., Array]
    times: Callable[[Array, int], tuple[Array, Array]]
    weighting: Callable[[SDE, Array], Array] = noise_weighting
    reduction: str = "mean"

    def __post_init__(self):
        if self.reduction not in REDUCTIONS:
            raise UsageError(
                f"Unknown loss reduction {self.reduction!r}. Known: {', '.join(REDUCTIONS)}."
            )

    def per_sample(
        self, params: Any, key: Array, x0: Array, condition: Condition = None, train: bool = True
    ) -> tuple[Array, Array]:
        """The weighted loss of each sample, and its time; each [batch].

        Args:
            params: the network's parameters.
            key: one key for the batch.
            x0: data in the range the network works in, [batch, ...].
            condition: what is known of each sample, see `scoresde.denoiser`.
            train: whether the network drops out units.
        """
        time_key, noise_key, network_key = jax.random.split(key, 3)
        t, weight = self.times(time_key, x0.shape[0])
        noise = jax.random.normal(noise_key, x0.shape, x0.dtype)
        x = self.sde.perturb(x0, noise, t)
        network_input, noise_condition = self.prediction.inputs(self.sde, x, t)
        output = self.network(
            params, network_input, noise_condition, condition, train=train, rng=network_key
        )
        # The noise error is the output's error times a coefficient: no cancellation at small sigma.
        mean, _ = self.prediction.split(x0, output.astype(x0.dtype))
        error = mean - self.prediction.target(self.sde, x0, noise, t)
        square = REDUCTIONS[self.reduction](jnp.reshape(error, (x0.shape[0], -1)) ** 2)
        scale = self.prediction.coefficients(self.sde, t).noise_output ** 2
        return weight * self.weighting(self.sde, t) * scale * square, t

    def __call__(
        self, params: Any, key: Array, x0: Array, condition: Condition = None, train: bool = True
    ) -> Array:
        """The loss, a scalar: `per_sample` averaged over the batch."""
        return jnp.mean(self.per_sample(params, key, x0, condition, train)[0])
