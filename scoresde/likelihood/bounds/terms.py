"""The terms that every bound is made of.

With q(x_t | x) = N(alpha x, sigma^2 I) and e_t the error ||predicted noise - noise||^2,

    prior           KL(q(x_tmax | x) || N(0, prior_std^2 I)), exact
    diffusion       1/2 int from t_min to t_max of g^2 / sigma^2 E[e_t] dt, where
                    g^2 / sigma^2 = -d log_snr / dt
    reconstruction  of a decoder, see `scoresde.likelihood.bounds.decoders`

(Song et al. 2021, arXiv:2101.09258, theorem 3; Kingma et al. 2021, arXiv:2107.00630, section 4).
"""

import math

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.predictions import Prediction
from scoresde.sdes import SDE, expand


def sum_squares(x: Array) -> Array:
    """||x||^2 of each sample, [batch]."""
    return jnp.sum(jnp.reshape(x, (x.shape[0], -1)) ** 2, axis=1)


def squared_errors(
    sde: SDE, prediction: Prediction, x0: Array, noise: Array, t: Array
) -> tuple[Array, Array]:
    """(predicted noise - noise)^2 and (predicted x0 - x0)^2, pixel by pixel, like x0.

    The two errors are the same but for a factor -sigma / alpha; they are read off the one that
    keeps its digits, the noise where there is little of it and x0 where there is little left of it.
    """
    log_snr = expand(sde.log_snr(t), x0)
    square = jnp.where(log_snr > 0, prediction.noise - noise, prediction.x0 - x0) ** 2
    noise_error = jnp.exp(jnp.minimum(log_snr, 0.0)) * square
    data_error = jnp.exp(-jnp.maximum(log_snr, 0.0)) * square
    return noise_error, data_error


def noise_error(
    denoiser: BaseDenoiser, x0: Array, noise: Array, t: Array, condition: Condition = None
) -> Array:
    """||predicted noise - noise||^2 at x_t = alpha x0 + sigma noise, of each sample.

    Args:
        denoiser: the denoiser.
        x0: data, [batch, ...].
        noise: like x0.
        t: [batch].
        condition: what is known of each sample, see `scoresde.denoiser`.

    Returns:
        [batch].
    """
    sde = denoiser.sde
    prediction = predict(denoiser, sde.perturb(x0, noise, t), t, condition)
    error, _ = squared_errors(sde, prediction, x0, noise, t)
    return jnp.sum(jnp.reshape(error, (len(x0), -1)), axis=1)


def snr_decay(sde: SDE, t: Array) -> Array:
    """g^2 / sigma^2 = -d log_snr / dt, like t."""
    return sde.diffusion_squared(t) / sde.sigma(t) ** 2


def prior_cost(
    sde: SDE, x: Array, t: ArrayLike | None = None, prior_std: ArrayLike | None = None
) -> Array:
    """KL(q(x_t | x) || N(0, prior_std^2 I)) in nats, [batch].

    Args:
        sde: the process.
        x: [batch, ...].
        t: where a chain starts; t_max if None.
        prior_std: of the prior there; the process's if None.
    """
    dims = math.prod(x.shape[1:])
    t = sde.t_max if t is None else t
    prior_std = sde.prior_std if prior_std is None else prior_std
    sigma = sde.sigma(t)
    excess = (sigma - prior_std) * (sigma + prior_std) / prior_std**2
    mean_square = (sde.alpha(t) / prior_std) ** 2 * sum_squares(x)
    return 0.5 * (mean_square + dims * (excess - jnp.log1p(excess)))


def diffusion_cost(sde: SDE, t_min: float, t: Array, weight: Array, noise_error: Array) -> Array:
    """The diffusion term in nats, estimated from the error at the time t; like t.

    Args:
        sde: the process.
        t_min: where the integral over time starts.
        t: a draw of a time distribution on [t_min, t_max].
        weight: of the draw, see `scoresde.times`.
        noise_error: ||predicted noise - noise||^2 there, or what has the same expectation.
    """
    return 0.5 * (sde.t_max - t_min) * weight * snr_decay(sde, t) * noise_error
