"""What is observed exactly, put in its place: of x_t, and of E[x_0 | x_t]."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, predict
from scoresde.guidance.observed import ObservedDenoiser
from scoresde.guidance.posterior_solve import solve
from scoresde.keys import normal
from scoresde.observations import Observation
from scoresde.predictions import Prediction, with_x0
from scoresde.registry import UsageError
from scoresde.sdes import SDE, expand


def project(
    observation: Observation, y: Array, x: Array, condition: Condition = None, iterations: int = 20
) -> Array:
    """The nearest to x [batch, ...] of which y is observed: x + A^T (A A^T)^-1 (y - A x).

    Args:
        observation: a linear one; its noise does not count.
        y: what is observed, [batch, ...].
        x: the samples.
        condition: what else the observation reads.
        iterations: of conjugate gradients, at most. One is enough for inpainting, colorization and
            super-resolution.

    Raises:
        UsageError: the observation is not linear.
    """
    if not observation.linear:
        raise UsageError(
            f"{type(observation).__name__} is not linear, and nothing is projected on what has "
            "such an observation; take dps, pigdm or tmpd."
        )
    weights = solve(
        lambda v: observation.forward(observation.adjoint(v, x.shape, condition), condition),
        observation.residual(y, x, condition),
        iterations=iterations,
        tolerance=None,
    )
    return x + observation.adjoint(weights, x.shape, condition)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Replacement:
    """A constraint: what is observed of x_t is that of y, alpha y + sigma A z with a new z.

    As of Song et al. 2021 (arXiv:2011.13456, appendix I.2), at the time that x has, and with the
    observation taken to be exact. With `Projected` as its denoiser samples end at y itself.

    Biased: of a Gaussian pair of correlation rho they have the regression coefficient
    rho / (1 + sqrt(1 - rho^2)) in the limit of small steps.

    Attributes:
        sde: the process of the denoiser.
        observation: a linear one.
    """

    sde: SDE
    observation: Observation

    def __call__(self, keys: Array, x: Array, t: Array, condition: Condition) -> Array:
        y = self.observation.observed(x, condition)
        t = jnp.broadcast_to(jnp.asarray(t, x.dtype), x.shape[:1])
        z = expand(self.sde.sigma(t), x) * normal(keys, x.shape, x.dtype)
        # A (x - z) is to be alpha y.
        target = expand(self.sde.alpha(t), y) * y
        return z + project(self.observation, target, x - z, condition)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Projected(ObservedDenoiser):
    """E[x_0 | x_t] with what is observed in its place (DDNM: Wang et al. 2022, arXiv:2212.00490).

    A final denoising of it has exactly y.

    Attributes:
        denoiser: what is guided.
        observation: a linear one, taken to be exact.
    """

    denoiser: BaseDenoiser
    observation: Observation

    def __call__(self, x: Array, t: Array, condition: Condition = None) -> Prediction:
        y = self.observation.observed(x, condition)
        prediction = predict(self.denoiser, x, t, condition)
        x0 = project(self.observation, y, prediction.x0, condition)
        return with_x0(prediction, self.sde, jnp.asarray(t, x.dtype), x0)
