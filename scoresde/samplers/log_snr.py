"""A step in half the log-SNR, lambda = log(alpha / sigma): what samplers of that kind share.

With h = lambda_s - lambda_t > 0 the probability flow from t to s is solved by either of

    x_s = sigma_s / sigma_t x_t + alpha_s int_0^h exp(-(h - u)) x0(lambda_t + u) du        (data)
    x_s = alpha_s / alpha_t x_t - sigma_s int_0^h exp(h - u) noise(lambda_t + u) du        (noise)

(DPM-Solver++, arXiv:2211.01095, proposition 4.1; DPM-Solver, arXiv:2206.00927, proposition 3.1).
The linear part is exact, and a sampler only chooses where to evaluate x0 or the noise and how to
interpolate between. With either one constant, the step is DDIM:

    alpha_s x0 + sigma_s noise = sigma_s / sigma_t x - alpha_s (exp(-h) - 1) x0
                               = alpha_s / alpha_t x - sigma_s (exp(h) - 1) noise

Nothing here asks which process it is. The data form is finite also where alpha_t = 0. The noise
form is written as DDIM, in which nothing cancels, and what further evaluations add to it.
"""

import jax.numpy as jnp
from jax import Array

from scoresde.predictions import Prediction
from scoresde.sdes import SDE

# Bounds of lambda, so that a step from alpha = 0 or to sigma = 0 has a finite h with a finite exp.
_LARGEST = 40.0


def half_log_snr(sde: SDE, t: Array) -> Array:
    """lambda(t) = log(alpha / sigma), within [-40, 40]."""
    return jnp.clip(0.5 * sde.log_snr(t), -_LARGEST, _LARGEST)


def step_size(sde: SDE, t: Array, s: Array) -> Array:
    """h = lambda_s - lambda_t."""
    return half_log_snr(sde, s) - half_log_snr(sde, t)


def time_between(sde: SDE, t: Array, s: Array, r: float) -> Array:
    """The time at lambda_t + r h."""
    lambda_t, lambda_s = half_log_snr(sde, t), half_log_snr(sde, s)
    return sde.time_of_log_snr(2 * (lambda_t + r * (lambda_s - lambda_t)))


def ddim(sde: SDE, prediction: Prediction, s: Array) -> Array:
    """The first-order step to s from where `prediction` was made."""
    return sde.alpha(s) * prediction.x0 + sde.sigma(s) * prediction.noise


def from_zero_snr(sde: SDE, t: Array, s: Array) -> Array:
    """Whether the step starts at zero terminal SNR, or next to it: alpha grows a thousandfold.

    The noise form would multiply every change of the noise within the step by as much: such a step
    is DDIM's. VP with the published beta grows by 152 in all, so that its steps never are.
    """
    return sde.alpha(s) > 1000 * sde.alpha(t)


def noise_change(sde: SDE, prediction: Prediction, noise: Array, t: Array, s: Array) -> Array:
    """noise - prediction.noise, as far as a step in the noise form from t to s makes use of it."""
    return jnp.where(from_zero_snr(sde, t, s), 0.0, noise - prediction.noise)


def noise_step(sde: SDE, prediction: Prediction, noise: Array, t: Array, s: Array) -> Array:
    """alpha_s / alpha_t x - sigma_s (exp(h) - 1) noise, for the x at t that `prediction` is of.

    PNDM's transfer (arXiv:2202.09778, equation 11), and Euler's step of x / alpha as a function of
    sigma / alpha.
    """
    change = noise_change(sde, prediction, noise, t, s)
    return ddim(sde, prediction, s) - sde.sigma(s) * jnp.expm1(step_size(sde, t, s)) * change
