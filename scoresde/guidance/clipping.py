"""x0 kept within the range of the data, at every step.

Guidance pushes x0 out of the range, and what is out of it at one step is further out at the next.
Both are nonlinear: they are no likelihood's business, but samplers'.
"""

import dataclasses

import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.guidance.base import Guidance, check_number
from scoresde.guidance.classifier import ClassifierGuidance
from scoresde.predictions import Prediction, with_x0
from scoresde.registry import UsageError
from scoresde.sdes import expand
from scoresde.times import is_traced


@dataclasses.dataclass(frozen=True)
class ClipX0(Guidance):
    """x0 clipped, and the noise that goes with it (`clip_denoised` of the DDPM family's code).

    Attributes:
        denoiser: a denoiser.
        low: the least value of the data, in the units of x.
        high: the largest.

    Raises:
        UsageError: low is not below high.
    """

    denoiser: BaseDenoiser
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        _check_range(self.low, self.high)

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        prediction = predict(self.denoiser, x, t, condition)
        x0 = jnp.clip(prediction.x0, self.low, self.high).astype(x.dtype)
        return _within(prediction, self.sde, x, t, x0)


def clipped(denoiser: BaseDenoiser, low: float, high: float) -> BaseDenoiser:
    """A denoiser, guided or not, with x0 clipped as published samplers clip it.

    That is x0 as the model and its guidance have it, but for a classifier's: its gradient is added
    to the noise of the clipped x0 (arXiv:2105.05233, Algorithms 1 and 2).

    Args:
        denoiser: any denoiser.
        low: see `ClipX0`.
        high: see `ClipX0`.
    """
    if isinstance(denoiser, ClassifierGuidance):
        return dataclasses.replace(denoiser, denoiser=clipped(denoiser.denoiser, low, high))
    return ClipX0(denoiser, low=low, high=high)


@dataclasses.dataclass(frozen=True)
class DynamicThresholding(Guidance):
    """Dynamic thresholding (Saharia et al. 2022, Imagen, arXiv:2205.11487, section 2.3).

    With s the percentile of |x0| over the pixels and channels of the image, at least 1: x0 clipped
    to [-s, s], divided by s. An image that guidance has saturated comes back into the range as a
    whole, instead of being cut off pixel by pixel. For other ranges than [-1, 1], of x0 scaled to
    it. For pixels, not for latent codes, whose range is not the data's.

    Attributes:
        denoiser: a denoiser.
        percentile: the share of the values that s does not cut off, in (0, 1], linear between
            order statistics. At 1 nothing is cut off: the largest value becomes 1.
        low: the least value of the data, in the units of x.
        high: the largest.

    Raises:
        UsageError: a percentile outside of (0, 1], or low is not below high.
    """

    denoiser: BaseDenoiser
    percentile: float = 0.995
    low: float = -1.0
    high: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        _check_range(self.low, self.high)
        plain.check("The percentile of dynamic thresholding", self.percentile, float)
        if not is_traced(self.percentile) and not 0 < self.percentile <= 1:
            raise UsageError(
                "The percentile of dynamic thresholding is a share in (0, 1], as 0.995, not "
                f"{self.percentile}."
            )

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        prediction = predict(self.denoiser, x, t, condition)
        x0 = self.thresholded(prediction.x0)
        return _within(prediction, self.sde, x, t, x0)

    def thresholded(self, x0: Array) -> Array:
        """x0 [batch, ...] brought into the range, each sample by itself."""
        low, high = (jnp.asarray(end, x0.dtype) for end in (self.low, self.high))
        center, half = (low + high) / 2, (high - low) / 2
        unit = (x0 - center) / half
        sizes = jnp.abs(unit).reshape(len(x0), -1)
        size = jnp.quantile(sizes, jnp.asarray(self.percentile, x0.dtype), axis=1)
        size = size.reshape(-1, *[1] * (x0.ndim - 1))
        shrunk = center + half * (jnp.clip(unit, -size, size) / size)
        return jnp.where(size > 1, shrunk, jnp.clip(x0, low, high))


def _within(prediction, sde, x, t, x0):
    """The prediction at x_t = x with another x0, which may be as far from its own as there is.

    What guidance has thrown out to 1e12 has noise as large, whose change would leave no digit of
    it: where it changes by more than noise is large, it is read off x itself.
    """
    near = with_x0(prediction, sde, t, x0)
    alpha, sigma = expand(sde.alpha(t), x), expand(sde.sigma(t), x)
    far = jnp.abs(near.noise - prediction.noise) > 1
    return near._replace(noise=jnp.where(far, (x - alpha * x0) / sigma, near.noise))


def _check_range(low, high):
    for name, value in {"low": low, "high": high}.items():
        check_number(f"{name} of the range of x0", value)
    if not is_traced((low, high)):
        plain.interval("The range of x0", (low, high))
