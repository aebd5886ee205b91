"""Guidance: denoisers that wrap a denoiser, for any process, prediction, sampler and likelihood.

    guided = guidance.get("cfg", denoiser, scale=2.0)
    samples = samplers.sample(key, sampler, guided, shape, condition={"label": labels}, steps=50)

They compose: what is outermost comes last. Each says which setting changes nothing.
"""

from typing import Any

from scoresde.denoiser import BaseDenoiser
from scoresde.guidance.autoguidance import Autoguidance
from scoresde.guidance.base import Guidance
from scoresde.guidance.classifier import ClassifierGuidance
from scoresde.guidance.classifier_free import ClassifierFreeGuidance
from scoresde.guidance.clipping import ClipX0, DynamicThresholding
from scoresde.guidance.interval import Interval
from scoresde.guidance.noisy_classifier import NoisyClassifier
from scoresde.guidance.temperature import Temperature
from scoresde.registry import make

GUIDANCE = {
    "cfg": ClassifierFreeGuidance,
    "autoguidance": Autoguidance,
    "classifier": ClassifierGuidance,
    "clip": ClipX0,
    "dynamic_thresholding": DynamicThresholding,
    "temperature": Temperature,
}

__all__ = [
    "GUIDANCE",
    "Autoguidance",
    "ClassifierFreeGuidance",
    "ClassifierGuidance",
    "ClipX0",
    "DynamicThresholding",
    "Guidance",
    "Interval",
    "NoisyClassifier",
    "Temperature",
    "get",
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
    return make("guidance method", GUIDANCE, name, denoiser=denoiser, **options)
