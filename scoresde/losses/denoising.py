"""Denoising score matching, of which most training objectives are a weighting.

The published discrete losses are the weighting `noise` on a discrete grid of times
(`times.Discrete`): with the process DiscreteVP and the prediction Noise it is DDPM's, with VE and
Score it is SMLD's.

What a network says of a variance beside the mean gets no gradient here: that takes the variational
bound (L_hybrid of arXiv:2102.09672), which in turn leaves the mean alone.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition, check_condition
from scoresde.losses.weightings import WEIGHTINGS
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError, component, lookup
from scoresde.sdes import SDE, expand
from scoresde.times import DISTRIBUTIONS


def mean(square: Array) -> Array:
    """The mean over the dimensions."""
    return jnp.mean(square, axis=1)


def half_sum(square: Array) -> Array:
    """Half the sum over the dimensions, score_sde's reduce_mean=False."""
    return 0.5 * jnp.sum(square, axis=1)


REDUCTIONS = {"mean": mean, "half_sum": half_sum}
"""From the squares of a sample's errors, [batch, dims], to its loss, [batch]."""


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
    """Predicted noise less noise, of a network in training, at x_t = alpha x0 + sigma noise.

    It is the output's error times a coefficient: nothing cancels at small sigma.

    Args:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `apply(params, x, noise_condition, condition, *, train, rng) -> output`.
        params: the network's parameters.
        key: of the network's own randomness.
        x0: data, [batch, ...].
        noise: like x0.
        t: [batch].
        condition: what is known of each sample, see `scoresde.denoiser`.
        train: whether the network drops out units.

    Raises:
        UsageError: the network has not the outputs that the prediction reads.
    """
    network_input, noise_condition = prediction.inputs(sde, sde.perturb(x0, noise, t), t)
    output = network(params, network_input, noise_condition, condition, train=train, rng=key)
    mean, _ = prediction.split(x0, output.astype(x0.dtype))
    error = mean - prediction.target(sde, x0, noise, t)
    return expand(prediction.coefficients(sde, t).noise_output, x0) * error


@dataclasses.dataclass(frozen=True, kw_only=True)
class DenoisingScoreMatching:
    """E_t,x_0,noise [ w(t) ||predicted noise - noise||^2 ]  (arXiv:2011.13456, equation 7).

    Attributes:
        sde: the forward process.
        prediction: how the network is fed and read.
        network: `apply(params, x, noise_condition, condition, *, train, rng) -> output`; the noise
            condition is `prediction.time_input`, 999 t if nothing is said.
        codec: from images to x and back, see `scoresde.codecs`; None where x itself is given.
        times: `(key, n) -> (t, weight)`, of `scoresde.times.DISTRIBUTIONS`, also by its name or as
            a section.
        weighting: `(sde, t) -> w`, of `scoresde.losses.WEIGHTINGS`, likewise.
        reduction: "mean" over the dimensions of a sample, "half_sum", or a function like them.

    Raises:
        UsageError: an unknown name, or none of these.
    """

    trains_schedule: ClassVar[bool] = False

    sde: SDE
    prediction: PredictionKind
    network: Callable[..., Array]
    codec: Any = None
    times: Any = "uniform"
    weighting: Any = "noise"
    reduction: str | Callable[[Array], Array] = "mean"

    def __post_init__(self):
        weighting = component("weighting", WEIGHTINGS, self.weighting, Callable)
        times, options = "uniform" if self.times is None else self.times, {}
        if isinstance(times, str | Mapping):
            options = {"sde": self.sde}
        times = component("time distribution", DISTRIBUTIONS, times, Callable, **options)
        object.__setattr__(self, "weighting", weighting)
        object.__setattr__(self, "times", times)
        self._reduce()

    def _reduce(self):
        if callable(self.reduction):
            return self.reduction
        return lookup("loss reduction", REDUCTIONS, self.reduction)

    def per_sample(
        self, params: Any, key: Array, x0: Array, condition: Condition = None, train: bool = True
    ) -> tuple[Array, Array]:
        """The weighted loss of each sample, and its time; each [batch].

        Args:
            params: the network's parameters.
            key: one key for the batch.
            x0: data in the range the network works in, [batch, ...].
            condition: what is known of each sample, see `scoresde.denoiser`.
            train: whether the network drops out units.
        """
        condition = check_condition(condition, x0.shape[0])
        time_key, noise_key, network_key = jax.random.split(key, 3)
        t, weight = self.times(time_key, x0.shape[0])
        noise = jax.random.normal(noise_key, x0.shape, x0.dtype)
        model = self.sde, self.prediction, self.network, params
        error = noise_residual(*model, network_key, x0, noise, t, condition, train)
        square = self._reduce()(jnp.reshape(error, (x0.shape[0], -1)) ** 2)
        factors = {"times": weight, "weighting": self.weighting(self.sde, t), "reduction": square}
        for name, factor in factors.items():  # others would broadcast to another loss
            if jnp.shape(factor) != t.shape and (jnp.ndim(factor) or factor is square):
                raise UsageError(
                    f"The {name} of a loss must give a number a sample, of shape {t.shape}, and "
                    f"gives {jnp.shape(factor)}."
                )
        return math.prod(factors.values()), t

    def __call__(
        self,
        params: Any,
        key: Array,
        images: Array,
        condition: Condition = None,
        train: bool = True,
    ) -> Array:
        """The loss, a scalar: `per_sample` of the encoded images, averaged over the batch.

        Args: as of `per_sample`, but for `images`, what the codec encodes, [batch, ...].
        """
        x0 = images
        if self.codec is not None:
            data_key, key = jax.random.split(key)
            x0 = self.codec.encode(data_key, images)
        return jnp.mean(self.per_sample(params, key, x0, condition, train)[0])
