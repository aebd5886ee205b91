"""The grids of times that samplers step along.

A grid is `(sde, steps) -> [steps + 1]` decreasing times from t_max to t_min: a frozen dataclass
whose fields are its options, so that `{"name": "edm", "rho": 5}` in a config is EDMGrid(rho=5).
"""

import dataclasses
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.plain import check_fields
from scoresde.registry import UsageError, component, shown
from scoresde.sdes import SDE
from scoresde.times.ends import ahead, is_traced, starts_at_finite_log_snr
from scoresde.times.respacing import RespacedGrid


@dataclasses.dataclass(frozen=True, kw_only=True)
class UniformGrid:
    """Equal steps in t. With N - 1 steps it is the grid of score_sde's samplers, N evaluations."""

    def __call__(self, sde: SDE, steps: int) -> Array:
        return jnp.linspace(sde.t_max, sde.t_min, steps + 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuadraticGrid:
    """Equal steps in sqrt(t) (the quadratic grid of DDIM, arXiv:2010.02502, appendix D)."""

    def __call__(self, sde: SDE, steps: int) -> Array:
        return jnp.linspace(sde.t_max**0.5, sde.t_min**0.5, steps + 1) ** 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class EDMGrid:
    """Equal steps in (sigma / alpha)^(1 / rho) (EDM, arXiv:2206.00364, equation 5).

    Attributes:
        rho: the larger, the shorter are the steps near the data; > 0.
    """

    rho: float = 7.0

    def __post_init__(self):
        check_fields(self)
        if not is_traced(self.rho) and not self.rho > 0:
            raise UsageError(f"EDM's grid needs rho > 0, got {self.rho}.")

    def __call__(self, sde: SDE, steps: int) -> Array:
        ends = jnp.exp(-0.5 * sde.log_snr(jnp.array([sde.t_max, sde.t_min])))
        first, last = ends ** (1 / self.rho)
        return sde.time_of_log_snr(-2 * self.rho * jnp.log(jnp.linspace(first, last, steps + 1)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogSNRGrid:
    """Equal steps in log_snr (DPM-Solver, arXiv:2206.00927, section 3.2).

    Attributes:
        zero_snr_to: where t_max has zero SNR (rectified flow), the log_snr that the first step
            leads to, from where steps are equal; by default about that of VP at t_max.
    """

    zero_snr_to: float = -10.0

    def __call__(self, sde: SDE, steps: int) -> Array:
        first, last = sde.log_snr(jnp.array([sde.t_max, sde.t_min]))
        equal = jnp.linspace(first, last, steps + 1)
        after_zero = jnp.linspace(self.zero_snr_to, last, steps)
        after_zero = jnp.concatenate([first[None], after_zero])
        return sde.time_of_log_snr(jnp.where(jnp.isfinite(first), equal, after_zero))


GRIDS = {
    "uniform": UniformGrid,
    "quadratic": QuadraticGrid,
    "edm": EDMGrid,
    "log_snr": LogSNRGrid,
    "respaced": RespacedGrid,
}


def make_grid(
    sde: SDE,
    steps: int | None,
    grid: str | Mapping[str, Any] | Callable[[SDE, int], Array] | Sequence[float] | Array | None,
) -> Array:
    """The decreasing times [steps + 1] that a sampler visits.

    Args:
        sde: the process; a grid that is computed runs from its t_max to its t_min, exactly.
        steps: the number of steps of such a grid; None for one that knows it, and all its times
            (`all_times(sde)`, of `RespacedGrid`).
        grid: a name of GRIDS (the process's `default_grid` if None), a section with a name and
            options, an object `(sde, steps) -> times`, or the times themselves.

    Raises:
        UsageError: `steps` is missing or not positive, or contradicts the array; the times do not
            decrease, leave [t_min, t_max], or the process has no such grid (an infinite log-SNR).
            What is traced by a JAX transformation, process or grid, is not checked.
    """
    dtype = jnp.result_type(float)
    if grid is None or isinstance(grid, str | Mapping) or callable(grid):
        chosen = sde.default_grid if grid is None else grid
        chosen = component("time grid", GRIDS, chosen, Callable)
        if all_times := getattr(chosen, "all_times", None):
            return make_grid(sde, steps, all_times(sde))
        steps = _count(steps)
        known = sde, getattr(chosen, "__dict__", None)
        traced = is_traced(known)
        with ahead(known):
            times = jnp.asarray(chosen(sde, steps), dtype)
            if times.shape != (steps + 1,):
                raise UsageError(
                    f"{chosen} must give {steps + 1} times for {steps} steps, got {times.shape}."
                )
            times = times.at[0].set(sde.t_max).at[-1].set(sde.t_min)
        source = f"{chosen} with {steps} steps"
    else:
        traced = is_traced(grid)
        try:
            times = jnp.asarray(grid, dtype) if traced else np.asarray(grid, dtype)
        except (TypeError, ValueError):
            raise UsageError(f"A time grid is an array of times, and not {shown(grid)}.") from None
        if times.ndim != 1 or len(times) < 2:
            raise UsageError(f"A time grid is an array of at least two times, got {times.shape}.")
        if steps is not None and steps != len(times) - 1:
            raise UsageError(
                f"A grid of {len(times)} times has {len(times) - 1} steps, not {steps}."
            )
        chosen, source = None, "The given grid"
    if not traced:
        times = np.asarray(times)
        _check(times, sde, source, chosen)
    return jnp.asarray(times)


def _count(steps):
    """A number of steps, as an int."""
    if is_traced(steps):
        raise UsageError(
            "The number of steps must be known before a program is compiled; what may be traced "
            "are the times of a grid."
        )
    number = isinstance(steps, numbers.Real | np.ndarray | jax.Array)
    if not number or not 1 <= steps < 2**31 or int(steps) != steps:
        raise UsageError(f"A sampler needs a positive number of steps, got steps={steps}.")
    return int(steps)


def _check(times, sde, source, chosen):
    """Raises UsageError unless the times decrease within the range of the process."""
    if not np.isfinite(times).all() or not (np.diff(times) < 0).all():
        remedy = ""
        if isinstance(chosen, LogSNRGrid) and np.isinf(sde.log_snr(sde.t_min)):
            remedy = " Its log-SNR is infinite at t_min: give a t_min > 0, or take a grid in t."
        elif chosen is not None and not starts_at_finite_log_snr(sde):
            remedy = " Its log-SNR is infinite at t_max: lower t_max, or take a grid in t."
        raise UsageError(f"{source} must be finite and strictly decreasing for {sde}.{remedy}")
    # Compared in single precision: an end may have been rounded to it on its way here.
    first, last = np.float32(times[0]), np.float32(times[-1])
    if last < np.float32(sde.t_min) or first > np.float32(sde.t_max):
        raise UsageError(
            f"{source} runs from {first:g} to {last:g}, outside the process's "
            f"[{sde.t_min}, {sde.t_max}]."
        )
