"""The Markov chain of DDPM as a process."""

import dataclasses

import jax
import jax.numpy as jnp

from scoresde.sdes.base import SDE, check, check_times


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteVP(SDE):
    """The N-step Markov chain of DDPM (Ho et al. 2020, arXiv:2006.11239), as a process in t.

    Level i = 0 ... N-1 sits at t = i / (N - 1), where alpha^2 = prod_{j <= i} (1 - beta_j) with
    beta_j linear from beta_min / N to beta_max / N; between levels log alpha is linear in t.

    Attributes:
        beta_min: num_scales times the variance that the first step adds.
        beta_max: num_scales times that of the last step.
        num_scales: number of levels.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    num_scales: int = 1000
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(
            self.num_scales > 1 and 0 < self.beta_min <= self.beta_max < self.num_scales,
            "DiscreteVP needs num_scales > 1 and 0 < beta_min <= beta_max < num_scales.",
        )

    @property
    def chain_steps(self) -> int:
        """From level N - 1 to level 0."""
        return self.num_scales - 1

    @property
    def _log_alpha_table(self):
        beta = jnp.linspace(self.beta_min, self.beta_max, self.num_scales) / self.num_scales
        return 0.5 * jnp.cumsum(jnp.log1p(-beta))

    def log_alpha(self, t):
        """log alpha(t)."""
        levels = jnp.arange(self.num_scales, dtype=jnp.result_type(float))
        index = jnp.asarray(t) * (self.num_scales - 1)
        return jnp.interp(index, levels, self._log_alpha_table)

    def alpha(self, t):
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(2 * self.log_alpha(t)))

    def log_snr(self, t):
        log_alpha = self.log_alpha(t)
        return 2 * log_alpha - jnp.log(-jnp.expm1(2 * log_alpha))

    def time_of_log_snr(self, log_snr):
        log_alpha = -0.5 * jax.nn.softplus(-jnp.asarray(log_snr))
        levels = jnp.arange(self.num_scales, dtype=jnp.result_type(float))
        index = jnp.interp(-log_alpha, -self._log_alpha_table, levels)
        return index / (self.num_scales - 1)

    @property
    def prior_std(self):
        return 1.0
