"""Denoising score matching, of which most training objectives are a weighting.

The published discrete losses are the weighting `noise` on a discrete grid of times
(`times.Discrete`): with the process DiscreteVP and the prediction Noise it is DDPM's, with VE and
Score it is SMLD's.

What a network says of a variance beside the mean gets no gradient here: that takes the variational
bound, `scoresde.losses.hybrid`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.augmentations import AUGMENT_LABELS, AUGMENTATIONS
from scoresde.condition import Condition
from scoresde.losses.timed import TimedLoss, check_factor, network_output
from scoresde.losses.weightings import WEIGHTINGS
from scoresde.observations import Inpainting
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError, component, lookup
from scoresde.sdes import SDE, expand


def mean(square: Array) -> Array:
    """The mean over the dimensions."""
    return jnp.mean(square, axis=1)


def half_sum(square: Array) -> Array:
    """Half the sum over the dimensions, score_sde's reduce_mean=False."""
    return 0.5 * jnp.sum(square, axis=1)


def mean_absolute(square: Array) -> Array:
    """The mean of the absolute errors over the dimensions, SR3's loss."""
    absolute = jnp.sqrt(jnp.where(square > 0, square, 1.0))  # which has no derivative at zero
    return jnp.mean(jnp.where(square > 0, absolute, 0.0), axis=1)


REDUCTIONS = {"mean": mean, "half_sum": half_sum, "mean_absolute": mean_absolute}
"""From the squares of a sample's errors, [batch, dims], to its loss, [batch]."""


def residual_of(
    sde: SDE, prediction: PredictionKind, output: Array, x0: Array, noise: Array, t: Array
) -> Array:
    """Predicted noise less noise, of a network's output at x_t = alpha x0 + sigma noise.

    It is the output's error times a coefficient: nothing cancels at small sigma.

    Args:
        sde: the forward process.
        prediction: how the network is read.
        output: of the network.
        x0: data, [batch, ...].
        noise: like x0.
        t: [batch].

    Raises:
        UsageError: the network has not the outputs that the prediction reads.
    """
    mean, _ = prediction.split(x0, output)
    error = mean - prediction.target(sde, x0, noise, t)
    return expand(prediction.coefficients(sde, t).noise_output, x0) * error


def noise_residual(
    sde: SDE,
    prediction: PredictionKind,
    network: Callable[..., Array],
    params: Any,
    key: Array,
    x0: Array,
    noise: Array,
    t: Array,
    condition: Condition = None,
    train: bool = True,
) -> Array:
    """`residual_of` a network in training.

    Args: as of `residual_of` and `scoresde.losses.timed.network_output`.
    """
    x, model = sde.perturb(x0, noise, t), (sde, prediction, network, params)
    output = network_output(*model, key, x, t, condition, train)
    return residual_of(sde, prediction, output, x0, noise, t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoisingScoreMatching(TimedLoss):
    """E_t,x_0,noise [ w(t) ||predicted noise - noise||^2 ]  (arXiv:2011.13456, equation 7).

    Attributes:
        weighting: `(sde, t) -> w`, of `scoresde.losses.WEIGHTINGS`, also by its name or as a
            section.
        reduction: "mean" over the dimensions of a sample, "half_sum", "mean_absolute", or a
            function like them.
        unknown_only: whether errors count only where the condition "mask" is 0, as Palette trains
            inpainting (arXiv:2111.05826, section 3); the mean is over all dimensions.
        augmentation: what is done to the images trained on and told to the network, of
            `scoresde.augmentations.AUGMENTATIONS`, also by its name or as a section; None for
            nothing.

    Further attributes and errors: of `TimedLoss`.
    """

    weighting: Any = "noise"
    reduction: str | Callable[[Array], Array] = "mean"
    unknown_only: bool = False
    augmentation: Any = None

    def __post_init__(self):
        super().__post_init__()
        if self.augmentation is not None:
            choice = component("augmentation", AUGMENTATIONS, self.augmentation, Callable)
            object.__setattr__(self, "augmentation", choice)
            if self.unknown_only:
                raise UsageError(
                    "An augmentation moves the pixels and not the mask: leave out unknown_only."
                )
        weighting = component("weighting", WEIGHTINGS, self.weighting, Callable)
        object.__setattr__(self, "weighting", weighting)
        self._reduce()

    def _reduce(self):
        if callable(self.reduction):
            return self.reduction
        return lookup("loss reduction", REDUCTIONS, self.reduction)

    def _encoded(self, key, images, condition, train):
        x0, condition, key = super()._encoded(key, images, condition, train)
        if self.augmentation is None or not train:
            return x0, condition, key
        augmentation_key, key = jax.random.split(key)
        x0, labels = self.augmentation(augmentation_key, x0)
        return x0, {**(condition or {}), AUGMENT_LABELS: labels}, key

    def at(self, params, key, x0, noise, t, condition=None, train=True):
        model = self.sde, self.prediction, self.network, params
        error = noise_residual(*model, key, x0, noise, t, condition, train)
        if self.unknown_only:
            error = jnp.where(Inpainting().mask(x0, condition), 0.0, error)
        return self.weighted(error, t)

    def weighted(self, error: Array, t: Array) -> Array:
        """The loss [batch] of errors of the noise [batch, ...] at the times t [batch]."""
        square = self._reduce()(jnp.reshape(error, (len(error), -1)) ** 2)
        weighting = self.weighting(self.sde, t)
        check_factor("weighting", weighting, t)
        check_factor("reduction", square, t, one_for_all=False)
        return weighting * square
