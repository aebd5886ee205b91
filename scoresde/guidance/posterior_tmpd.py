"""Tweedie moment projected diffusion (Boys et al. 2023, arXiv:2310.06721)."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.denoiser import BaseDenoiser
from scoresde.guidance.posterior import Linearized, PosteriorGuidance, inverse_where_positive
from scoresde.guidance.posterior_solve import check_iterations, solve
from scoresde.observations import Observation
from scoresde.registry import member

COVARIANCES = {"full": "conjugate gradients", "diagonal": "row sums"}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TMPD(PosteriorGuidance):
    """TMPD: x_0 given x_t has its true covariance, M = R + A Cov A^T. Exact for Gaussian data.

    Cov = (sigma^2 / alpha) H, by Tweedie's formula of second order; H is symmetric, and its
    products are derivatives of the denoiser in reverse. "full" solves with M by conjugate
    gradients, one such product each (MMPS: Rozet et al. 2024, arXiv:2405.13712); "diagonal" takes
    the sums of M's rows for M, one in all, which assumes that they are no less than R.

    Attributes:
        denoiser: what is guided.
        observation: what y is of x_0.
        scale: the factor on the gradient.
        covariance: "full" or "diagonal".
        iterations: of conjugate gradients, at most; as many as y has values are exact.
        tolerance: their relative residual; None for rounding.
    """

    denoiser: BaseDenoiser
    observation: Observation
    scale: ArrayLike = 1.0
    covariance: str = dataclasses.field(default="full", metadata={"static": True})
    iterations: int = dataclasses.field(default=20, metadata={"static": True})
    tolerance: float | None = dataclasses.field(default=None, metadata={"static": True})

    def __post_init__(self):
        super().__post_init__()
        member("covariance of TMPD", COVARIANCES, self.covariance)
        check_iterations(self.iterations, self.tolerance)

    def weigh(self, residual: Array, at: Linearized) -> Array:
        def uncertain(v):
            return at.score_to_x0 * at.push(at.denoise(at.pull(v)))

        if self.covariance == "diagonal":
            m = at.noise**2 + jnp.maximum(uncertain(jnp.ones_like(residual)), 0.0)
            return inverse_where_positive(m) * residual
        return solve(
            lambda v: at.noise**2 * v + uncertain(v),
            residual,
            iterations=self.iterations,
            tolerance=self.tolerance,
        )
