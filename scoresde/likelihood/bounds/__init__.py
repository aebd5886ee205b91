"""Lower bounds on the log-likelihood, none of which solves an ODE.

All are one evidence lower bound. With q the forward process from x and p the reverse one from the
prior N(0, prior_std^2 I) at t_max down to t_min, followed by a decoder p(x | x_tmin),

    log p(x) >= -(prior + diffusion + reconstruction),
    prior          = KL(q(x_tmax | x) || prior)
    diffusion      = E[ KL of the reverse process from the process q given x ]
    reconstruction = -E[ log p(x | x_tmin) ],                x_tmin ~ q(. | x),

and they differ in the decoder and in whether the reverse process takes steps or infinitesimal ones:

    score_flow   density of real x     infinitesimal   Gaussian decoder at Tweedie's mean
    vdm          probability of images infinitesimal   q(x_tmin | level), normalized
    ddpm         probability of images steps           Gaussian integrated over level bins

    bound = ScoreFlowBound(samples=128)
    bound(key, denoiser, x, condition).nats

    bound = VDMBound()
    bound(key, denoiser, images, condition, bins=256, level_range=(-1, 1)).nats
"""

from scoresde.likelihood.bounds.decoders import GAUSSIAN_DECODERS, marginal_decoder_cost
from scoresde.likelihood.bounds.importance import importance_bound
from scoresde.likelihood.bounds.result import Bound
from scoresde.likelihood.bounds.score_flow import ScoreFlowBound
from scoresde.likelihood.bounds.steps import DDPMBound
from scoresde.likelihood.bounds.terms import prior_cost
from scoresde.likelihood.bounds.vdm import VDMBound

BOUNDS = {"score_flow": ScoreFlowBound, "vdm": VDMBound, "ddpm": DDPMBound}
"""Bounds by name; `of_levels` says what one is called with."""

__all__ = [
    "BOUNDS",
    "GAUSSIAN_DECODERS",
    "Bound",
    "DDPMBound",
    "ScoreFlowBound",
    "VDMBound",
    "importance_bound",
    "marginal_decoder_cost",
    "prior_cost",
]
