"""The time distributions that training and bounds draw from.

A time distribution is `(key, n) -> (t [n], weight [n])`. The weight makes the mean over draws of
weight * loss(t) an unbiased estimate of the mean of loss over t uniform on [t_min, t_max], whatever
density the draws come from (except for LogNormal, which states an objective of its own). One with
a memory of the losses (`init_memory`) is `(key, n, memory)` in training, see `LossSecondMoment`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.registry import UsageError
from scoresde.sdes import SDE
from scoresde.times.ends import ahead, is_traced
from scoresde.times.levels import BetweenLevels, Discrete, LossSecondMoment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Uniform:
    """t uniform on [t_min, t_max] of the process, or on the range given.

    Attributes:
        sde: the process.
        t_min: the least t; the process's if None.
        t_max: the greatest t; the process's if None.
    """

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
    t uniform in log_snr, for every process.

    Attributes:
        stratified: whether one t is drawn in each of n equal cells.

    Raises:
        UsageError: log_snr is not finite at an end of the range; give a smaller t_max (rectified
            flow) or a larger t_min.
    """

    stratified: bool = True

    def __call__(self, key, n):
        low, high = self.bounds
        with ahead(self.sde):
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

    Attributes:
        sde: the process.
        mean: of log(sigma / alpha).
        std: its standard deviation.
    """

    sde: SDE
    mean: float = -1.2
    std: float = 1.2

    def __call__(self, key: Array, n: int) -> tuple[Array, Array]:
        log_sigma = self.mean + self.std * jax.random.normal(key, (n,))
        t = self.sde.time_of_log_snr(-2 * log_sigma)
        t = jnp.clip(t, self.sde.t_min, self.sde.t_max)
        return t, jnp.ones_like(t)


DISTRIBUTIONS = {
    "uniform": Uniform,
    "stratified": Stratified,
    "likelihood_importance": LikelihoodImportance,
    "log_normal": LogNormal,
    "discrete": Discrete,
    "between_levels": BetweenLevels,
    "loss_second_moment": LossSecondMoment,
}
