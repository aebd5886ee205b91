"""Linear systems that are known by their products: conjugate gradients, sample by sample."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.errors import UsageError


def solve(
    product: Callable[[Array], Array], b: Array, *, iterations: int, tolerance: float | None
) -> Array:
    """x with product(x) = b, each [batch, ...]; the product treats each sample alone.

    Every sample has steps of its own, and stops by itself, so that the others of a batch do not
    matter. A direction in which the product is not positive, as rounding or a network that is no
    exact denoiser make it, is not taken.

    Args:
        product: v -> M v, with M symmetric and positive semi-definite.
        b: the right-hand side.
        iterations: at most so many, of one product each.
        tolerance: it is enough if the residual's norm is so small a part of b's; None for
            rounding.
    """
    axes = tuple(range(1, b.ndim))
    tolerance = 4 * jnp.finfo(b.dtype).eps if tolerance is None else tolerance

    def dot(u, v):
        return jnp.sum(u * v, axis=axes, keepdims=True)

    def conjugate_gradients(product, b):
        enough = tolerance**2 * dot(b, b)

        def unfinished(state):
            number, *_, square, stuck = state
            return (number < iterations) & jnp.any((square > enough) & ~stuck)

        def iterate(state):
            number, x, residual, direction, square, stuck = state
            image = product(direction)
            curvature = dot(direction, image)
            stuck |= ~(curvature > 0)
            go = (square > enough) & ~stuck
            step = jnp.where(go, square, 0.0) / jnp.where(go, curvature, 1.0)
            x, residual = x + step * direction, residual - step * image
            new = jnp.where(go, dot(residual, residual), square)
            direction = residual + new / jnp.where(go, square, 1.0) * direction
            return number + 1, x, residual, direction, new, stuck

        square = dot(b, b)
        start = 0, jnp.zeros_like(b), b, b, square, jnp.zeros(square.shape, bool)
        return jax.lax.while_loop(unfinished, iterate, start)[1]

    # Its derivatives are those of the solution, not of the iterations.
    return jax.lax.custom_linear_solve(product, b, conjugate_gradients, symmetric=True)


def check_iterations(iterations: int, tolerance: float | None) -> None:
    """Raises UsageError unless there is an iteration, and a tolerance is positive."""
    plain.check("iterations", iterations, int)
    plain.check("tolerance", tolerance, float | None)
    if iterations < 1:
        raise UsageError(f"iterations must be at least 1, got {iterations}.")
    if tolerance is not None and not 0 < tolerance < 1:
        raise UsageError(f"tolerance must be between 0 and 1, got {tolerance}.")
