"""Diffusion posterior sampling (Chung et al. 2022, arXiv:2209.14687)."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde import plain
from scoresde.denoiser import BaseDenoiser
from scoresde.guidance.posterior import Linearized, PosteriorGuidance, inverse_where_positive
from scoresde.observations import Observation
from scoresde.observations.base import known_noise
from scoresde.registry import UsageError, member

NORMS = {"derived": "the likelihood's own", "published": "a step of one length"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DPS(PosteriorGuidance):
    """DPS: y is taken to be of E[x_0 | x_t] itself, M = R. Never exact, and too narrow.

    As derived (equations 11 and 16) it has no other strength than R. As published (algorithm 1) it
    moves x after every step by -scale grad ||y - A mu||, whatever R is and however many steps there
    are: a term -scale grad ||y - A mu|| / (g^2 dt) of the score does so in the reverse SDE with
    `steps` equal steps, and half of it in the probability flow. At t_min, where only a final
    denoising is, its move is no longer than that either. The published scale is twice algorithm
    1's zeta'.

    Attributes:
        denoiser: what is guided.
        observation: what y is of x_0.
        scale: the factor on the gradient.
        norm: "derived" or "published".
        steps: of "published", the number of steps that the sampler takes on a uniform grid.
    """

    denoiser: BaseDenoiser
    observation: Observation
    scale: ArrayLike = 1.0
    norm: str = dataclasses.field(default="derived", metadata={"static": True})
    steps: int = dataclasses.field(default=1000, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        member("norm of DPS", NORMS, self.norm)
        plain.check("steps of DPS", self.steps, int)
        if self.steps < 1:
            raise UsageError(f"steps must be at least 1, got {self.steps}.")
        noise = known_noise(getattr(self.observation, "noise", None))
        if self.norm == "derived" and noise is not None and not (noise > 0).all():
            raise UsageError(
                f"DPS divides by the noise of the observation, which is {noise}: give it some, or "
                "take pigdm, tmpd or norm='published'."
            )

    def weigh(self, residual: Array, at: Linearized) -> Array:
        if self.norm == "derived":
            return residual / at.noise**2
        axes = tuple(range(1, residual.ndim))
        square = jnp.sum(residual**2, axis=axes, keepdims=True)
        length = jnp.sqrt(jnp.where(square > 0, square, 1.0))
        dt = (self.sde.t_max - self.sde.t_min) / self.steps
        step = at.diffusion * dt
        # A final denoising moves x0 by sigma^2 / alpha of it, of VE much farther than a step.
        last = at.sigma <= (1 + 1e-3) * self.sde.sigma(self.sde.t_min)
        step = jnp.where(last, jnp.maximum(step, at.score_to_x0), step)
        return residual / length * inverse_where_positive(step)
