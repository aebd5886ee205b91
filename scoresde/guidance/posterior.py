"""Posterior guidance: the score of x_t given an observation y of x_0, approximately.

The score given y is the score plus the gradient of log p(y | x_t). With mu = E[x_0 | x_t],
H = d mu / dx and y = A x_0 + N(0, R), every method here takes

    grad log p(y | x_t)  =  H^T A^T M^-1 (y - A mu),

as if x_0 given x_t were Gaussian, and differs in its M: what is uncertain of y given x_t. What is
not linear is linearized at mu.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, check_denoiser, predict
from scoresde.guidance.gradient import score_to_x0, with_gradient
from scoresde.guidance.observed import ObservedDenoiser
from scoresde.observations import Observation
from scoresde.predictions import Prediction
from scoresde.registry import UsageError, shown
from scoresde.sdes import expand


class Linearized(NamedTuple):
    """The observation of the denoised samples, at the x and t that guidance is asked for.

    Attributes:
        alpha, sigma: of the process at t, [batch, 1, ...], with y's axes.
        diffusion: likewise g(t)^2.
        noise: the standard deviation of y, broadcasts against y.
        push: dx0 -> A dx0, [batch, ...] like x to like y.
        pull: v -> A^T v, the other way.
        denoise: v -> H^T v, of those like x.
    """

    alpha: Array
    sigma: Array
    diffusion: Array
    noise: Array
    push: Callable[[Array], Array]
    pull: Callable[[Array], Array]
    denoise: Callable[[Array], Array]

    @property
    def score_to_x0(self) -> Array:
        """sigma^2 / alpha: how far a term of the score moves x0, and Cov[x_0 | x_t] over H."""
        return score_to_x0(self.alpha, self.sigma)


class PosteriorGuidance(ObservedDenoiser):
    """The base of what is guided by an observation: a subclass says how a residual is weighed.

    The condition holds the samples' "observation", and what else the observation reads.
    """

    denoiser: BaseDenoiser
    observation: Observation
    scale: ArrayLike

    def __post_init__(self):
        # JAX may put anything in these places while it transforms.
        if isinstance(self.denoiser, type | str):
            check_denoiser(self.denoiser)
        if isinstance(self.observation, type | str | Callable):
            raise UsageError(
                f"{type(self).__name__} needs an observation, as observations.get('inpainting'), "
                f"not {shown(self.observation)}."
            )
        if isinstance(self.scale, bool | str | list | type) or (
            isinstance(self.scale, int | float | np.generic) and not np.isfinite(self.scale)
        ):
            raise UsageError(f"scale must be a number, not {shown(self.scale)}.")

    def weigh(self, residual: Array, at: Linearized) -> Array:
        """M^-1 residual, [batch, ...] like y, for the residual y - A mu."""
        raise TypeError(f"{type(self).__name__} must define weigh(residual, at).")

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        sde, observation = self.sde, self.observation
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])

        def denoised(x):
            prediction = predict(self.denoiser, x, t, condition)
            return prediction.x0, prediction

        y = observation.observed(x, condition)
        x0, pull_x, prediction = jax.vjp(denoised, x, has_aux=True)
        # What is observed of it is linear in a change of x0, also where y is not in x0.
        observed, push = jax.linearize(lambda x0: observation.forward(x0, condition), x0)
        pull = jax.linear_transpose(push, x0)
        at = Linearized(
            expand(sde.alpha(t), observed),
            expand(sde.sigma(t), observed),
            expand(sde.diffusion_squared(t), observed),
            jnp.asarray(observation.noise, x0.dtype),
            push,
            lambda v: pull(v)[0],
            lambda v: pull_x(v)[0].astype(x0.dtype),  # x may be of fewer bits than its process
        )
        weighed = self.weigh(observation.residual(y, x0, condition), at)
        gradient = self.scale * at.denoise(at.pull(weighed))
        return with_gradient(prediction, sde, t, gradient)


def inverse_where_positive(m: Array) -> Array:
    """1 / m, and zero where m is not positive."""
    return jnp.where(m > 0, 1 / jnp.where(m > 0, m, 1.0), 0.0)
