"""Training objectives: denoising score matching, and the variational bound of discrete images."""

from scoresde.losses.denoising import (
    REDUCTIONS,
    WEIGHTINGS,
    DenoisingScoreMatching,
    edm_weighting,
    likelihood_weighting,
    noise_weighting,
)
from scoresde.losses.variational import VariationalLoss, schedule_loss

__all__ = [
    "REDUCTIONS",
    "WEIGHTINGS",
    "DenoisingScoreMatching",
    "VariationalLoss",
    "edm_weighting",
    "likelihood_weighting",
    "noise_weighting",
    "schedule_loss",
]
