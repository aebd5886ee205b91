"""Pseudoinverse guidance (Song et al. 2023, "Pseudoinverse-Guided Diffusion Models")."""

import dataclasses

import jax
from jax import Array
from jax.typing import ArrayLike

from scoresde.denoiser import BaseDenoiser
from scoresde.guidance.posterior import Linearized, PosteriorGuidance
from scoresde.guidance.posterior_solve import check_iterations, solve
from scoresde.observations import Observation


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PiGDM(PosteriorGuidance):
    """PiGDM: x_0 given x_t has the variance of unit Gaussian data, M = R + r^2 A A^T.

    r^2 = sigma^2 / (sigma^2 + alpha^2) (equation 7 and below). Exact for Gaussian data whose
    covariance is the identity.

    Attributes:
        denoiser: what is guided.
        observation: what y is of x_0.
        scale: the factor on the gradient.
        iterations: of conjugate gradients, at most. One is enough where A A^T is a multiple of the
            identity, as of inpainting, colorization and super-resolution.
        tolerance: their relative residual; None for rounding.
    """

    denoiser: BaseDenoiser
    observation: Observation
    scale: ArrayLike = 1.0
    iterations: int = dataclasses.field(default=20, metadata={"static": True})
    tolerance: float | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        check_iterations(self.iterations, self.tolerance)

    def weigh(self, residual: Array, at: Linearized) -> Array:
        variance = at.sigma**2 / (at.sigma**2 + at.alpha**2)
        return solve(
            lambda v: at.noise**2 * v + variance * at.push(at.pull(v)),
            residual,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
