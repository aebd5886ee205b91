"""What a dequantizing flow is trained on: the bound on the log-likelihood, in bits/dim."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import data
from scoresde.codecs import Codec
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.dequantization.flow import FlowDequantizer
from scoresde.likelihood import bits_per_dim
from scoresde.likelihood.bounds.decoders import density_decoder_cost
from scoresde.likelihood.bounds.terms import diffusion_cost, noise_error, prior_cost
from scoresde.times import LikelihoodImportance


def one_time_bound(
    key: Array, denoiser: BaseDenoiser, x: Array, condition: Condition = None
) -> Array:
    """`likelihood.ScoreFlowBound` from one time per image: nats, [batch].

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
    ends = jnp.concatenate([t, jnp.full((batch,), sde.t_min)])
    twice, condition = jax.tree.map(lambda rows: jnp.concatenate([rows, rows]), (x, condition))
    noise = jax.random.normal(noise_key, twice.shape, x.dtype)
    error = noise_error(denoiser, twice, noise, ends, condition)

    diffusion = diffusion_cost(sde, sde.t_min, t, weight, error[:batch])
    dims = math.prod(x.shape[1:])
    reconstruction = density_decoder_cost(sde, sde.t_min, error[batch:], dims)
    return -(prior_cost(sde, x) + diffusion + reconstruction)


def bound_loss(
    network: Any,
    *,
    codec: Codec,
    condition: Sequence[str] = (),
) -> Callable[[Any, Array, dict[str, Array], BaseDenoiser], tuple[Array, dict[str, Array]]]:
    """A loss for `scoresde.training`: (params, key, batch, denoiser) -> (loss, metrics).

    The loss is -(bound on log p(x) - log q(u | images)), which bounds -log P(images), in bits/dim
    (Song et al. 2021, arXiv:2101.09258, section 5). The denoiser is the score model, frozen, on the
    process from the likelihood's t_min.

    Args:
        network: the flow, `(params, noise, unit image) -> (y, log determinant)`.
        codec: the images' way to x, whose bins the noise fills.
        condition: names of the batch's arrays that the denoiser is given as its condition.
    """

    def loss_fn(params, key, batch, denoiser):
        noise_key, bound_key = jax.random.split(key)
        images, bins, bin_range = batch["image"], codec.bins, codec.bin_range
        known = {name: batch[name] for name in condition} or None
        flow = FlowDequantizer(network=network, params=params)
        unit, log_q = flow(noise_key, images, bins, known)
        x = data.scale(unit, bin_range)
        nats = one_time_bound(bound_key, denoiser, x, known) - log_q
        dims = math.prod(images.shape[1:])
        loss = bits_per_dim(nats, dims, bins=bins, bin_range=bin_range)
        return jnp.mean(loss), {"log_q_bits": jnp.mean(log_q) / (dims * math.log(2))}

    return loss_fn
