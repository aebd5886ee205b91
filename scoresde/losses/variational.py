"""Training by the variational bound on discrete images, and with it the noise schedule (VDM).

In continuous time the bound depends on the two ends of a noise schedule and not on its shape, on
which the variance of the bound's estimate depends (Kingma et al. 2021, arXiv:2107.00630, section
5.1). Network and ends follow the gradient of the bound, the shape that of the variance.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.likelihood.bounds.decoders import level_values, marginal_decoder_cost
from scoresde.likelihood.bounds.terms import diffusion_cost, prior_cost, sum_squares
from scoresde.losses.denoising import noise_residual
from scoresde.predictions import PredictionKind
from scoresde.registry import UsageError
from scoresde.sdes import SDE, learned_fields, with_learned_fields
from scoresde.times import Stratified


def schedule_loss(
    per_sample: Callable[[Any, SDE], Array], params: Any, sde: SDE, weight: float = 1.0
) -> Array:
    """mean(L), with the gradient of its variance for the shape of a learned noise schedule.

    The value and the gradients with respect to `params` and `sde.ends` are those of mean(L), L the
    estimates of `per_sample`; the gradient with respect to `sde.shape` is that of

        weight * mean(L^2) / mean(L)^2,

    which is the variance's since mean(L) does not depend on the shape. It takes one evaluation of
    the network and two passes back through it (XLA merges the equal forward passes).

    Args:
        per_sample: (params, sde) -> L [batch], with the same randomness at every call. Each L is a
            bound's estimate at a single time, from a distribution that does not follow the
            schedule: at times uniform in log_snr no estimate depends on the shape.
        params: the network's parameters.
        sde: a `scoresde.sdes.LearnedVP`, or any process with learned fields `ends` and `shape`.
        weight: of the shape's gradient; optimizers that normalize gradients ignore it.
    """
    fixed = jax.lax.stop_gradient
    bound = jnp.mean(per_sample(params, dataclasses.replace(sde, shape=fixed(sde.shape))))
    estimates = per_sample(fixed(params), dataclasses.replace(sde, ends=fixed(sde.ends)))
    spread = weight * jnp.mean(estimates**2) / fixed(bound) ** 2
    return bound + spread - fixed(spread)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class VariationalLoss:
    """Bits/dim of discrete images by the bound of `VDMBound`, one stratified time a sample.

    Attributes:
        sde: the process before training, with learned fields `ends` and `shape`, used on [0, 1].
        prediction: how the network is fed and read. Its time input should depend on the schedule
            through log_snr alone, as `predictions.LogSigma` does.
        network: `apply(params, x, noise_condition, condition, *, train, rng) -> output`.
        codec: of images, see `scoresde.codecs`: their `bins`, and the values `level_range` of the
            first and the last level.

    Raises:
        UsageError: the data have no levels.
    """

    trains_schedule: ClassVar[bool] = True

    sde: SDE
    prediction: PredictionKind
    network: Callable[..., Array]
    codec: Any

    def __post_init__(self):
        if self.codec.bins is None or self.codec.level_range is None:
            raise UsageError(
                "The objective 'variational' bounds the probability of images of integer levels, "
                "which these data have not in x; take 'denoising'."
            )

    def parameters(self, network_params: Any) -> dict[str, Any]:
        """The parameters of both: {"network": ..., "sde": its learned fields by name}."""
        return {"network": network_params, "sde": learned_fields(self.sde)}

    def trained_sde(self, params: dict[str, Any]) -> SDE:
        """The process with the schedule in `params`."""
        return with_learned_fields(self.sde, params["sde"])

    def per_sample(
        self,
        network_params: Any,
        sde: SDE,
        key: Array,
        images: Array,
        condition: Condition = None,
        train: bool = True,
    ) -> Array:
        """-log P(images) in nats, an estimate from one time each, [batch]."""
        bins, level_range = self.codec.bins, self.codec.level_range
        x = level_values(images, bins, level_range)
        time_key, noise_key, network_key = jax.random.split(key, 3)
        t, weight = Stratified(sde=sde)(time_key, len(x))
        noise = jax.random.normal(noise_key, x.shape, x.dtype)
        model = sde, self.prediction, self.network, network_params
        error = noise_residual(*model, network_key, x, noise, t, condition, train)
        snr = jnp.exp(sde.log_snr(sde.t_min))
        return (
            prior_cost(sde, x)
            + diffusion_cost(sde, sde.t_min, t, weight, sum_squares(error))
            + marginal_decoder_cost(images, snr, bins, level_range)
        )

    def __call__(
        self,
        params: dict[str, Any],
        key: Array,
        images: Array,
        condition: Condition = None,
        train: bool = True,
    ) -> Array:
        """Bits/dim, averaged over the batch, with gradients as `schedule_loss` gives them.

        Args:
            params: as made by `parameters`.
            key: one key for the batch.
            images: integers in 0 .. bins - 1, [batch, ...].
            condition: what is known of each image, see `scoresde.denoiser`.
            train: whether the network drops out units.
        """

        def bits_per_dim(network_params, sde):
            nats = self.per_sample(network_params, sde, key, images, condition, train)
            return nats / (math.prod(images.shape[1:]) * math.log(2))

        return schedule_loss(bits_per_dim, params["network"], self.trained_sde(params))
