"""Log-likelihoods, exact or bounded, with error bars; and bits per dimension."""

from scoresde.likelihood.bits import bits_per_dim
from scoresde.likelihood.bounds import (
    BOUNDS,
    GAUSSIAN_DECODERS,
    Bound,
    DDPMBound,
    ScoreFlowBound,
    VDMBound,
    importance_bound,
)
from scoresde.likelihood.change_of_variables import LogProb
from scoresde.likelihood.exact import ExactLikelihood, log_prob
from scoresde.likelihood.gaussian_baseline import gaussian_log_prob
from scoresde.likelihood.trace import TRACES, Exact, Gaussian, HutchPlusPlus, Rademacher, Trace

LIKELIHOODS = {"exact": ExactLikelihood, **BOUNDS}
"""All of one interface, but that some are of a density and some of the levels (`of_levels`):

    likelihood(key, denoiser, x, condition) -> LogProb or Bound
    likelihood(key, denoiser, images, condition, bins=, level_range=) -> Bound
"""

__all__ = [
    "BOUNDS",
    "GAUSSIAN_DECODERS",
    "LIKELIHOODS",
    "TRACES",
    "Bound",
    "DDPMBound",
    "Exact",
    "ExactLikelihood",
    "Gaussian",
    "HutchPlusPlus",
    "LogProb",
    "Rademacher",
    "ScoreFlowBound",
    "Trace",
    "VDMBound",
    "bits_per_dim",
    "gaussian_log_prob",
    "importance_bound",
    "log_prob",
]
