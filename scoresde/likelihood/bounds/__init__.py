"""Lower bounds on the log-likelihood, none of which solves an ODE.

All are one evidence lower bound. With q the forward process from x and p the reverse one from the
prior N(0, prior_std^2 I) at t_max down to t_min, followed by a decoder p(x | x_tmin),

    log p(x) >= -(prior + diffusion + reconstruction),
    prior          = KL(q(x_tmax | x) || prior)
    diffusion      = E[ KL of the reverse process from the process q given x ]
    reconstruction = -E[ log p(x | x_tmin) ],                x_tmin ~ q(. | x),

and they differ in the decoder and in whether the reverse process takes steps or infinitesimal ones:

    score_flow_bound   density of real x     infinitesimal   Gaussian decoder at Tweedie's mean
    vdm_bound          probability of levels infinitesimal   q(x_tmin | level), normalised
    ddpm_bound         probability of levels steps           Gaussian integrated over level bins

The infinitesimal diffusion cost is  1/2 int g^2/sigma^2 E||noise - predicted noise||^2 dt, which
needs neither the divergence of the drift nor the density of the marginals.
"""

from scoresde.likelihood.bounds.continuous import score_flow_bound, vdm_bound
from scoresde.likelihood.bounds.decoders import marginal_decoder_cost
from scoresde.likelihood.bounds.importance import importance_bound
from scoresde.likelihood.bounds.steps import ddpm_bound
from scoresde.likelihood.bounds.terms import Bound, level_values, prior_cost

__all__ = [
    "Bound",
    "ddpm_bound",
    "importance_bound",
    "level_values",
    "marginal_decoder_cost",
    "prior_cost",
    "score_flow_bound",
    "vdm_bound",
]
