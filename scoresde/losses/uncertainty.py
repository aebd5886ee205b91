"""Score matching that learns how hard every noise level is (arXiv:2312.02696, section 2).

The error at a noise level is taken for normal, with a variance exp(u(t)) that a head of the network
tells, and its negative log-likelihood is what is trained,

    w(t) ||predicted noise - noise||^2 / exp(u(t)) + u(t)

(without factors and constants). Where u has learned the error of a level, exp(u) = w ||...||^2, all
levels count the same, whatever w was: a learned weighting of tasks (Kendall et al. 2018).
"""

import dataclasses

import jax.numpy as jnp

from scoresde.losses.denoising import DenoisingScoreMatching
from scoresde.losses.timed import check_factor
from scoresde.registry import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class UncertaintyLoss(DenoisingScoreMatching):
    """E[ w(t) ||predicted noise - noise||^2 / exp(u) + u ], with the reduction's norm.

    u is `network.log_variance(params, noise_condition)`, [batch], at the noise condition that the
    network is told. The value is a log-likelihood, not an error: it falls below zero.

    Further attributes: of `DenoisingScoreMatching`.

    Raises:
        UsageError: a network without `log_variance`; and as `DenoisingScoreMatching`.
    """

    def __post_init__(self):
        super().__post_init__()
        if not callable(getattr(self.network, "log_variance", None)):
            raise UsageError(
                "The objective 'uncertainty' needs a network that says how uncertain it is, by "
                "log_variance(params, noise_condition): take the network 'edm2', or the objective "
                "'denoising'."
            )

    def at(self, params, key, x0, noise, t, condition=None, train=True):
        loss = super().at(params, key, x0, noise, t, condition, train)
        told = jnp.broadcast_to(self.prediction.time_input(self.sde, t), t.shape)
        u = self.network.log_variance(params, told).astype(loss.dtype)
        check_factor("log variance", u, t, one_for_all=False)
        return loss / jnp.exp(u) + u
