"""Markov chains as processes: DDPM's, and the cosine one of improved DDPM.

Level i = 0 ... N-1 of a chain sits at t = i / (N - 1), where alpha^2 = prod over j <= i of
(1 - beta_j); between levels log alpha is linear in t. So a step from one level to any other is that
of the chain, or of the sub-chain that visits only these two.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from scoresde.sdes.base import SDE, check, check_times

# In levels: a time this near to a level's is the level's, which a float32 cannot hold exactly.
_ROUNDING = 1e-3


class _Chain(SDE):
    """What chains share; a subclass has `num_scales` and its `betas`."""

    num_scales: int

    @property
    def betas(self) -> np.ndarray:
        """The variance that each step adds, [num_scales], in float64."""
        raise TypeError(f"{type(self).__name__} must define betas.")

    @property
    def chain_steps(self) -> int:
        """From level N - 1 to level 0."""
        return self.num_scales - 1

    @functools.cached_property
    def _log_alpha_table(self):
        return 0.5 * np.cumsum(np.log1p(-self.betas))

    def log_alpha(self, t):
        """log alpha(t)."""
        index = jnp.clip(jnp.asarray(t) * self.chain_steps, 0, self.chain_steps)
        rounding = jnp.round(index) - index
        rounding = jnp.where(jnp.abs(rounding) < _ROUNDING, rounding, 0)
        index += jax.lax.stop_gradient(rounding)  # with the slope that it has
        below = jnp.clip(index.astype(int), 0, self.chain_steps - 1)
        table, share = jnp.asarray(self._log_alpha_table, index.dtype), index - below
        return (1 - share) * table[below] + share * table[below + 1]

    def alpha(self, t):
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t):
        return jnp.sqrt(-jnp.expm1(2 * self.log_alpha(t)))

    def log_snr(self, t):
        log_alpha = self.log_alpha(t)
        return 2 * log_alpha - jnp.log(-jnp.expm1(2 * log_alpha))

    def transition(self, s, t):
        # beta = 1 - a^2 of one step is small beside the sigma^2 that it would be the difference of.
        log_a = self.log_alpha(t) - self.log_alpha(s)
        return jnp.exp(log_a), jnp.maximum(-jnp.expm1(2 * log_a), 0.0)

    def time_of_log_snr(self, log_snr):
        log_alpha = -0.5 * jax.nn.softplus(-jnp.asarray(log_snr))
        table = jnp.asarray(self._log_alpha_table, jnp.result_type(float))
        levels = jnp.arange(self.num_scales, dtype=table.dtype)
        return jnp.interp(-log_alpha, -table, levels) / (self.num_scales - 1)

    @property
    def prior_std(self):
        return 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteVP(_Chain):
    """The N-step Markov chain of DDPM (Ho et al. 2020, arXiv:2006.11239), as a process in t.

    beta_j is linear from beta_min / N to beta_max / N. The defaults are DDPM's 1e-4 and 0.02 at
    1000 levels, and at N levels 1000 / N times as much, improved DDPM's "linear" schedule; it needs
    more than 20 of them.

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
            "DiscreteVP needs num_scales > 1 and 0 < beta_min <= beta_max < num_scales, got "
            f"{self.num_scales}, {self.beta_min} and {self.beta_max}.",
        )

    @property
    def betas(self):
        ends = float(self.beta_min), float(self.beta_max)
        return np.linspace(*ends, self.num_scales) / self.num_scales


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscreteCosine(_Chain):
    """The cosine chain of improved DDPM (Nichol and Dhariwal 2021, arXiv:2102.09672, equation 17).

    1 - beta_j = f(j + 1) / f(j),   f(j) = cos^2((j / N + offset) / (1 + offset) pi / 2),

    with beta_j at most beta_largest: the last, where f is zero. Of the continuous `Cosine` it has
    the shape in the middle, but more noise at level 0, by the offset, and alpha > 0 at the last.

    Attributes:
        num_scales: number of levels.
        offset: the paper's s, which keeps the first steps from being too small; >= 0.
        beta_largest: what no step's variance exceeds, below 1.
    """

    num_scales: int = 1000
    offset: float = 0.008
    beta_largest: float = 0.999
    t_min: float = 0.0
    t_max: float = 1.0

    def __post_init__(self):
        check_times(self)
        check(
            self.num_scales > 1 and self.offset >= 0 and 0 < self.beta_largest < 1,
            "DiscreteCosine needs num_scales > 1, offset >= 0 and 0 < beta_largest < 1, got "
            f"{self.num_scales}, {self.offset} and {self.beta_largest}.",
        )

    @property
    def betas(self):
        angle = np.arange(self.num_scales + 1) / self.num_scales + self.offset
        angle *= 0.5 * math.pi / (1 + self.offset)
        # 1 - cos^2(b) / cos^2(a) = sin(b - a) sin(b + a) / cos^2(a): no difference of equals.
        first, last = angle[:-1], angle[1:]
        beta = np.sin(last - first) * np.sin(last + first) / np.cos(first) ** 2
        return np.minimum(beta, self.beta_largest)
