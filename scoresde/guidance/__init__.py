"""Guidance: denoisers that wrap a denoiser, for any process, prediction, sampler and likelihood.

    guided = guidance.get("cfg", denoiser, scale=2.0)
    samples = samplers.sample(key, sampler, guided, shape, condition={"label": labels}, steps=50)
    posterior = guidance.get("tmpd", denoiser, observation=observations.get("blur", noise=0.05))

They compose: what is outermost comes last. Each says which setting changes nothing.
"""

from typing import Any

from scoresde.denoiser import BaseDenoiser
from scoresde.guidance.autoguidance import Autoguidance
from scoresde.guidance.base import Guidance
from scoresde.guidance.classifier import ClassifierGuidance
from scoresde.guidance.classifier_free import ClassifierFreeGuidance
from scoresde.guidance.clipping import ClipX0, DynamicThresholding, clipped
from scoresde.guidance.interval import Interval
from scoresde.guidance.noisy_classifier import NoisyClassifier
from scoresde.guidance.posterior import PosteriorGuidance
from scoresde.guidance.posterior_dps import DPS
from scoresde.guidance.posterior_pigdm import PiGDM
from scoresde.guidance.posterior_tmpd import TMPD
from scoresde.guidance.replacement import Projected, Replacement, project
from scoresde.guidance.temperature import Temperature
from scoresde.registry import make_around

POSTERIORS = {
    "dps": DPS,
    "pigdm": PiGDM,
    "projected": Projected,
    "tmpd": TMPD,
}
"""Guidance by an observation, which it takes as the option `observation`."""

GUIDANCE = {
    "cfg": ClassifierFreeGuidance,
    "autoguidance": Autoguidance,
    "classifier": ClassifierGuidance,
    "clip": ClipX0,
    "dynamic_thresholding": DynamicThresholding,
    "temperature": Temperature,
    **POSTERIORS,
}
"""Guidance methods by name; `package.module:Name` reaches one's own."""

__all__ = [
    "DPS",
    "GUIDANCE",
    "POSTERIORS",
    "TMPD",
    "Autoguidance",
    "ClassifierFreeGuidance",
    "ClassifierGuidance",
    "ClipX0",
    "DynamicThresholding",
    "Guidance",
    "Interval",
    "NoisyClassifier",
    "PiGDM",
    "PosteriorGuidance",
    "Projected",
    "Replacement",
    "Temperature",
    "clipped",
    "get",
    "project",
]


def get(name: str, denoiser: BaseDenoiser, **options: Any) -> BaseDenoiser:
    """`denoiser`, guided.

    Args:
        name: a name of GUIDANCE, or `package.module:Name` of a denoiser that wraps one.
        denoiser: the denoiser within.
        **options: the method's.

    Raises:
        UsageError: unknown name or option, or what the method refuses.
    """
    return make_around({"denoiser": denoiser}, "guidance method", GUIDANCE, name, **options)
