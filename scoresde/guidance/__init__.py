"""Guidance: denoisers that wrap a denoiser, and so work with every sampler."""

from scoresde.guidance.posterior import PosteriorGuidance
from scoresde.guidance.posterior_dps import DPS
from scoresde.guidance.posterior_pigdm import PiGDM
from scoresde.guidance.posterior_tmpd import TMPD
from scoresde.guidance.replacement import Projected, Replacement, project

POSTERIORS = {
    "dps": DPS,
    "pigdm": PiGDM,
    "projected": Projected,
    "tmpd": TMPD,
}
"""Posterior guidance by name: (denoiser, observation, **options)."""

__all__ = [
    "DPS",
    "POSTERIORS",
    "PiGDM",
    "PosteriorGuidance",
    "Projected",
    "Replacement",
    "TMPD",
    "project",
]
