"""Times: the distributions that training draws them from, and the grids that samplers step along.

A time distribution is `(key, n) -> (t [n], weight [n])`. The weight makes the mean over draws of
weight * loss(t) an unbiased estimate of the mean of loss over t uniform on [t_min, t_max], whatever
density the draws come from (except for LogNormal, which states an objective of its own).
"""

import contextlib
import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.registry import UsageError, lookup
from scoresde.sdes import SDE


def is_traced(sde: SDE) -> bool:
    """Whether learned fields of the process are placeholders of a JAX transformation.

    Then nothing about its times can be checked, nor computed ahead of the compiled program.
    """
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(sde))


def _ahead(sde):
    """Where a process is known, its ends are computed once, not in every compiled program."""
    return contextlib.nullcontext() if is_traced(sde) else jax.ensure_compile_time_eval()


def starts_at_finite_log_snr(sde: SDE) -> bool:
    """Whether the log-SNR at t_max is finite, as it is taken to be where the process is traced."""
    with _ahead(sde):
        log_snr = sde.log_snr(sde.t_max)
    return is_traced(sde) or bool(np.isfinite(log_snr))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform:
    """t uniform on [t_min, t_max] of the process, or on the range given."""

    sde: SDE
    t_min: float | None = None
    t_max: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """The range of t."""
        low = self.sde.t_min if self.t_min is None else self.t_min
        high = self.sde.t_max if self.t_max is None else self.t_max
        if not is_traced(self.sde) and not self.sde.t_min <= low < high <= self.sde.t_max:
            raise UsageError(
                f"Training times [{low}, {high}] must lie in the process's "
                f"[{self.sde.t_min}, {self.sde.t_max}]."
            )
        return low, high

    def _uniforms(self, key, n):
        return jax.random.uniform(key, (n,))

    def __call__(self, key: Array, n: int) -> tuple[Array, Array]:
        low, high = self.bounds
        t = low + (high - low) * self._uniforms(key, n)
        return t, jnp.ones_like(t)


def stratified_uniforms(key: Array, n: int) -> Array:
    """n draws from U[0, 1), [n], one in each of n equal cells: one shift for all of them."""
    return (jax.random.uniform(key) + jnp.arange(n) / n) % 1.0


class Stratified(Uniform):
    """Uniform t, one draw in each of n equal cells, which lowers the variance of the batch's mean.

    The low-discrepancy sampler of Kingma et al. 2021, arXiv:2107.00630, appendix I.1.
    """

    def _uniforms(self, key, n):
        return stratified_uniforms(key, n)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodImportance(Uniform):
    """p(t) proportional to g^2 / sigma^2, which removes the variance of likelihood weighting.

    Song et al. 2021, arXiv:2101.09258, section 4.3. Since g^2 / sigma^2 = -d log_snr / dt, this is
    t uniform in log_snr, for every process. Draws are stratified unless `stratified` is False.

    Raises:
        UsageError: log_snr is not finite at an end of the range; give a smaller t_max (rectified
            flow) or a larger t_min.
    """

    stratified: bool = True

    def __call__(self, key, n):
        low, high = self.bounds
        with _ahead(self.sde):
            largest, smallest = self.sde.log_snr(low), self.sde.log_snr(high)
        if not is_traced(self.sde) and not np.isfinite([largest, smallest]).all():
            raise UsageError(
                f"Importance-sampled times need a finite log-SNR on [{low}, {high}]; "
                "set t_min or t_max of the time distribution inside that range."
            )
        u = stratified_uniforms(key, n) if self.stratified else self._uniforms(key, n)
        t = self.sde.time_of_log_snr(largest + (smallest - largest) * u)
        t = jnp.clip(t, low, high)
        density = self.sde.diffusion_squared(t) / self.sde.sigma(t) ** 2 / (largest - smallest)
        return t, 1 / (density * (high - low))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogNormal:
    """log(sigma / alpha) normal, as EDM trains (arXiv:2206.00364, table 1). The weight is one.

    The density is part of EDM's objective, so it is not divided out.
    """

    sde: SDE
    mean: float = -1.2
    std: float = 1.2

    def __call__(self, key: Array, n: int) -> tuple[Array, Array]:
        log_sigma = self.mean + self.std * jax.random.normal(key, (n,))
        t = self.sde.time_of_log_snr(-2 * log_sigma)
        t = jnp.clip(t, self.sde.t_min, self.sde.t_max)
        return t, jnp.ones_like(t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discrete:
    """t uniform on the levels i / (num_scales - 1) * t_max: the DDPM and SMLD training grids."""

    sde: SDE
    num_scales: int = 1000

    def __post_init__(self):
        if self.num_scales < 2:
            raise UsageError(f"Discrete times need num_scales of 2 or more, got {self.num_scales}.")

    def __call__(self, key: Array, n: int) -> tuple[Array, Array]:
        index = jax.random.randint(key, (n,), 0, self.num_scales)
        t = index / (self.num_scales - 1) * self.sde.t_max
        return t, jnp.ones_like(t)


DISTRIBUTIONS = {
    "uniform": Uniform,
    "stratified": Stratified,
    "likelihood_importance": LikelihoodImportance,
    "log_normal": LogNormal,
    "discrete": Discrete,
}


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
        with _ahead(sde):
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
