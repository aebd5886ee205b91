"""The temperature of the score."""

import dataclasses
from typing import ClassVar

from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.guidance.base import Guidance
from scoresde.predictions import Prediction, with_noise
from scoresde.registry import UsageError
from scoresde.times import is_traced


@dataclasses.dataclass(frozen=True)
class Temperature(Guidance):
    """The score divided by a temperature: that of p_t(x)^(1 / temperature) at each t.

    Below 1 the samples are nearer to the modes, and differ less. It is not the diffusion of
    p_0^(1 / temperature): a Gaussian gets another variance, which the noise levels decide. The
    temperature of a sampler's first draw is an argument of `samplers.sample`, that of a classifier
    one of `NoisyClassifier`. Where nothing is left of the data (alpha = 0) it has no meaning.

    Attributes:
        denoiser: a denoiser.
        temperature: > 0; 1 changes nothing.

    Raises:
        UsageError: a temperature that is not positive.
    """

    denoiser: BaseDenoiser
    temperature: float

    strength: ClassVar[str] = "temperature"
    neutral: ClassVar[float] = 1.0

    def __post_init__(self):
        super().__post_init__()
        if not is_traced(self.temperature) and not self.temperature > 0:
            raise UsageError(f"The temperature must be positive, not {self.temperature}.")

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        prediction = predict(self.denoiser, x, t, condition)
        if self.is_neutral:
            return prediction
        return with_noise(prediction, self.sde, t, prediction.noise / self.temperature)
