"""Samplers: a vocabulary of names, and `sample`, which runs any of them with any denoiser."""

from typing import Any

from scoresde.registry import make
from scoresde.samplers.correctors import CORRECTORS, AnnealedLangevin, Corrector, Langevin
from scoresde.samplers.driver import GridSampler, Samples, sample, tweedie
from scoresde.samplers.predictor_corrector import PredictorCorrector, pc
from scoresde.samplers.predictors import (
    PREDICTORS,
    AncestralSampling,
    EulerMaruyama,
    ReverseDiffusion,
)
from scoresde.samplers.probability_flow import ProbabilityFlow, encode

SAMPLERS = {
    **PREDICTORS,
    "pc": pc,
    "probability_flow": ProbabilityFlow,
}


def get(name: str, **options: Any) -> Any:
    """The sampler called `name`, with its options.

    Raises:
        UsageError: unknown name or option.
    """
    return make("sampler", SAMPLERS, name, **options)


__all__ = [
    "AncestralSampling",
    "AnnealedLangevin",
    "CORRECTORS",
    "Corrector",
    "EulerMaruyama",
    "GridSampler",
    "Langevin",
    "PREDICTORS",
    "PredictorCorrector",
    "ProbabilityFlow",
    "ReverseDiffusion",
    "SAMPLERS",
    "Samples",
    "encode",
    "get",
    "pc",
    "sample",
    "tweedie",
]
