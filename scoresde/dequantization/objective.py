"""What a dequantising flow is trained on: the bound on the log-likelihood, in bits/dim."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import data
from scoresde.denoiser import BaseDenoiser, Condition, predict
from scoresde.dequantization.flow import FlowDequantizer
from scoresde.likelihood import bits_per_dim
from scoresde.likelihood.bounds import prior_cost
from scoresde.likelihood.bounds.terms import squared_errors
from scoresde.times import LikelihoodImportance


def one_time_bound(
    key: Array, denoiser: BaseDenoiser, x: Array, condition: Condition = None
) -> Array:
    """`likelihood.score_flow_bound` from one time per image: nats, [batch].

    An unbiased estimate for each image. The times are stratified over the batch, so that the mean
    over the batch, all that training sees, has far less noise than images with times of their own
    would give; and the network is called once, on the images at their times and at t_min.

    Args:
        key: one key for the batch.
        denoiser: the denoiser; the bound starts at its process's t_min.
        x: real data, [batch, ...].
        condition: what is known of each image, see `scoresde.denoiser`.

    Raises:
        UsageError: the process's log-SNR is not finite at its ends.
    """
    sde, batch = denoiser.sde, len(x)
    time_key, noise_key = jax.random.split(key)
    t, weight = LikelihoodImportance(sde=sde)(time_key, batch)
    weight = weight * sde.diffusion_squared(t) / sde.sigma(t) ** 2

    t = jnp.concatenate([t, jnp.full((batch,), sde.t_min)])
    twice = jnp.concatenate([x, x])
    noise = jax.random.normal(noise_key, twice.shape, x.dtype)
    condition = jax.tree.map(lambda rows: jnp.concatenate([rows, rows]), condition)
    prediction = predict(denoiser, sde.perturb(twice, noise, t), t, condition)
    error = squared_errors(sde, prediction, twice, noise, t)[0]

    diffusion = 0.5 * (sde.t_max - sde.t_min) * weight * error[:batch]
    dims = math.prod(x.shape[1:])
    reconstruction = 0.5 * dims * (jnp.log(2 * jnp.pi) - sde.log_snr(sde.t_min))
    reconstruction += 0.5 * error[batch:]
    return -(prior_cost(sde, x) + diffusion + reconstruction)


def bound_loss(
    network: Any,
    *,
    bins: int,
    data_range: tuple[float, float],
    condition: Sequence[str] = (),
) -> Callable[[Any, Array, dict[str, Array], BaseDenoiser], tuple[Array, dict[str, Array]]]:
    """A loss for `scoresde.training`: (params, key, batch, denoiser) -> (loss, metrics).

    The loss is -(bound on log p(x) - log q(u | levels)), which bounds -log P(levels), in bits/dim
    (Song et al. 2021, arXiv:2101.09258, section 5). The denoiser is the score model, frozen, on the
    process from the likelihood's t_min.

    Args:
        network: the flow, `(params, noise, unit image, condition) -> (y, log determinant)`.
        bins: number of grey levels.
        data_range: what the bins fill in the denoiser's range.
        condition: names of the batch's arrays that flow and denoiser are given as their condition.
    """

    def loss_fn(params, key, batch, denoiser):
        noise_key, bound_key = jax.random.split(key)
        images = batch["image"]
        known = {name: batch[name] for name in condition}
        dequantizer = FlowDequantizer(network=network, params=params)
        unit, log_q = dequantizer(noise_key, images, bins, known)
        x = data.scale(unit, data_range)
        nats = one_time_bound(bound_key, denoiser, x, known) - log_q
        dims = math.prod(images.shape[1:])
        loss = bits_per_dim(nats, dims, bins=bins, data_range=data_range)
        return jnp.mean(loss), {"log_q_bits": jnp.mean(log_q) / (dims * math.log(2))}

    return loss_fn
