"""A gradient added to the score, of which x0 and noise each have their share."""

import jax.numpy as jnp
from jax import Array

from scoresde.predictions import Prediction
from scoresde.sdes import SDE, expand


def with_gradient(prediction: Prediction, sde: SDE, t: Array, gradient: Array) -> Prediction:
    """The prediction at t, a scalar or [batch], with a gradient [batch, ...] added to its score.

    score + gradient: noise - sigma gradient, and x0 + sigma^2 / alpha gradient, neither by way of
    the other. Where alpha is zero x_t tells nothing of x0, which stays.
    """
    alpha, sigma = expand(sde.alpha(t), gradient), expand(sde.sigma(t), gradient)
    return prediction._replace(
        x0=prediction.x0 + score_to_x0(alpha, sigma) * gradient,
        noise=prediction.noise - sigma * gradient,
    )


def score_to_x0(alpha: Array, sigma: Array) -> Array:
    """sigma^2 / alpha: how far a term of the score moves x0; zero where alpha is."""
    return jnp.where(alpha > 0, sigma**2 / jnp.where(alpha > 0, alpha, 1), 0)
