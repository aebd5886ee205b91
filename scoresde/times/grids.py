"""The grids of times that samplers step along."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.registry import UsageError, lookup
from scoresde.sdes import SDE
from scoresde.times.ends import ahead, is_traced, starts_at_finite_log_snr

# Grids: (sde, steps) -> [steps + 1] decreasing times from t_max to t_min.


def uniform_grid(sde: SDE, steps: int) -> Array:
    """Equal steps in t. With N - 1 steps it is the grid of score_sde's samplers, N evaluations."""
    return jnp.linspace(sde.t_max, sde.t_min, steps + 1)


def quadratic_grid(sde: SDE, steps: int) -> Array:
    """Equal steps in sqrt(t) (the quadratic grid of DDIM, arXiv:2010.02502, appendix D)."""
    return jnp.linspace(sde.t_max**0.5, sde.t_min**0.5, steps + 1) ** 2


def edm_grid(sde: SDE, steps: int, rho: float = 7.0) -> Array:
    """Equal steps in (sigma / alpha)^(1 / rho) (EDM, arXiv:2206.00364, equation 5)."""
    ends = jnp.exp(-0.5 * sde.log_snr(jnp.array([sde.t_max, sde.t_min])))
    sigma = jnp.linspace(ends[0] ** (1 / rho), ends[1] ** (1 / rho), steps + 1) ** rho
    return sde.time_of_log_snr(-2 * jnp.log(sigma))


def log_snr_grid(sde: SDE, steps: int) -> Array:
    """Equal steps in log_snr (DPM-Solver, arXiv:2206.00927, section 3.2)."""
    ends = sde.log_snr(jnp.array([sde.t_max, sde.t_min]))
    return sde.time_of_log_snr(jnp.linspace(ends[0], ends[1], steps + 1))


GRIDS = {
    "uniform": uniform_grid,
    "quadratic": quadratic_grid,
    "edm": edm_grid,
    "log_snr": log_snr_grid,
}


def make_grid(sde: SDE, steps: int | None, grid: str | Sequence[float] | Array | None) -> Array:
    """The decreasing times [steps + 1] that a sampler visits.

    Args:
        sde: the process; a named grid runs from its t_max to its t_min, exactly.
        steps: the number of steps, for a named grid.
        grid: a name of GRIDS (the process's `default_grid` if None), or the times themselves.

    Raises:
        UsageError: `steps` is missing or not positive, or contradicts the array; the times do not
            decrease, leave [t_min, t_max], or the process has no such grid (an infinite log-SNR).
            The times of a named grid are not checked where the process is traced.
    """
    dtype = jnp.result_type(float)
    if grid is None or isinstance(grid, str):
        name = grid or sde.default_grid
        function = lookup("time grid", GRIDS, name)
        if steps is None or not 1 <= steps < 2**31 or int(steps) != steps:
            raise UsageError(f"A sampler needs a positive number of steps, got steps={steps}.")
        with ahead(sde):
            times = function(sde, int(steps)).astype(dtype)
            times = times.at[0].set(sde.t_max).at[-1].set(sde.t_min)
        if is_traced(sde):
            return times
        times = np.asarray(times)
        source = f"The {name!r} grid of {int(steps)} steps"
    else:
        times = np.asarray(grid, dtype)
        if times.ndim != 1 or len(times) < 2:
            raise UsageError(f"A time grid is an array of at least two times, got {times.shape}.")
        if steps is not None and steps != len(times) - 1:
            raise UsageError(
                f"A grid of {len(times)} times has {len(times) - 1} steps, not {steps}."
            )
        source = "The given grid"
    if not np.isfinite(times).all() or not (np.diff(times) < 0).all():
        remedy = ""
        if isinstance(grid, str) and not starts_at_finite_log_snr(sde):
            remedy = " Its log-SNR is infinite at t_max: lower t_max, or take a grid in t."
        raise UsageError(f"{source} must be finite and strictly decreasing for {sde}.{remedy}")
    # Compared in single precision: an end may have been rounded to it on its way here.
    first, last = np.float32(times[0]), np.float32(times[-1])
    if last < np.float32(sde.t_min) or first > np.float32(sde.t_max):
        raise UsageError(
            f"{source} runs from {first:g} to {last:g}, outside the process's "
            f"[{sde.t_min}, {sde.t_max}]."
        )
    return jnp.asarray(times)
