"""Log-likelihoods, exact or bounded, with error bars; and bits per dimension."""

from scoresde.likelihood.bits import bits_per_dim
from scoresde.likelihood.bounds import (
    Bound,
    ddpm_bound,
    importance_bound,
    score_flow_bound,
    vdm_bound,
)
from scoresde.likelihood.exact import LogProb, log_prob
from scoresde.likelihood.gaussian_baseline import gaussian_log_prob

__all__ = [
    "Bound",
    "LogProb",
    "bits_per_dim",
    "ddpm_bound",
    "gaussian_log_prob",
    "importance_bound",
    "log_prob",
    "score_flow_bound",
    "vdm_bound",
]
