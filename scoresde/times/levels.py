"""Time distributions on the levels of a chain: uniform, or by how large the losses there have been.

A level's number is the condition on which the terms of a chain's bound depend, so these
distributions also know which level a time is of.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.plain import check_fields
from scoresde.registry import UsageError
from scoresde.sdes import SDE

# Of a process that is no chain: score_sde's number of levels.
_LEVELS = 1000

Memory = dict[str, Array]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Discrete:
    """t uniform on levels at equal steps in t: the DDPM and SMLD training grids.

    Attributes:
        sde: the process.
        num_scales: number of levels, from 2 on; those of a chain, or 1000, if None.
    """

    sde: SDE
    num_scales: int | None = None

    def __post_init__(self):
        check_fields(self)
        if self.num_scales is not None and self.num_scales < 2:
            raise UsageError(f"Discrete times need num_scales of 2 or more, got {self.num_scales}.")

    @property
    def levels(self) -> Array:
        """The times of the levels, ascending from t_min to t_max."""
        sde, num = self.sde, self.num_scales
        if num is None:
            num = _LEVELS if sde.chain_steps is None else sde.chain_steps + 1
        return sde.t_min + jnp.arange(num) / (num - 1) * (sde.t_max - sde.t_min)

    def number(self, t: Array) -> Array:
        """The number of the level that is nearest to each time, like t."""
        levels = self.levels
        return jnp.searchsorted(0.5 * (levels[1:] + levels[:-1]), t)

    def __call__(self, key: Array, n: int) -> tuple[Array, Array]:
        levels = self.levels
        t = levels[jax.random.randint(key, (n,), 0, len(levels))]
        return t, jnp.ones_like(t)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BetweenLevels:
    """A level drawn uniformly, and between it and the one before uniform in alpha^power.

    With power=2, gamma ~ U(gamma_(i-1), gamma_i), as SR3 and Palette are trained (Saharia et al.
    2021, arXiv:2104.07636, section 2.4, after Chen et al. 2020, arXiv:2009.00713); WaveGrad's and
    SR3's code have power=1, sqrt(gamma). The first interval reaches t_min. The density is part of
    that objective and is not divided out: the weight is one.

    Attributes:
        sde: the process.
        num_scales: number of intervals; those of a chain, or 1000, if None.
        power: 1 or 2.

    Raises:
        UsageError: a value out of range.
    """

    sde: SDE
    num_scales: int | None = None
    power: int = 2

    def __post_init__(self):
        check_fields(self)
        if self.power not in (1, 2) or (self.num_scales is not None and self.num_scales < 1):
            raise UsageError(
                "Times between levels need num_scales of 1 or more and power 1 or 2, got "
                f"{self.num_scales} and {self.power}."
            )

    def __call__(self, key: Array, n: int) -> tuple[Array, Array]:
        sde, num = self.sde, self.num_scales
        if num is None:
            num = _LEVELS if sde.chain_steps is None else sde.chain_steps
        level_key, share_key = jax.random.split(key)
        number = jax.random.randint(level_key, (n,), 0, num)
        length = (sde.t_max - sde.t_min) / num
        low, high = sde.t_min + number * length, sde.t_min + (number + 1) * length
        # Within an interval log alpha is linear in t: of a chain exactly, of others nearly.
        share, log_ratio = jax.random.uniform(share_key, (n,)), _log_alpha(sde, high)
        log_ratio = self.power * (log_ratio - _log_alpha(sde, low))
        log_between = jnp.log1p(share * jnp.expm1(log_ratio))
        t = low + (high - low) * jnp.where(log_ratio < 0, log_between / log_ratio, share)
        return jnp.clip(t, sde.t_min, sde.t_max), jnp.ones(n)


def _log_alpha(sde, t):
    return jnp.log(sde.alpha(t))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSecondMoment(Discrete):
    """Levels in proportion to sqrt(E[L^2]), L the last losses of each (improved DDPM).

    p = (1 - uniform) sqrt(E[L^2]) / sum + uniform / N, once every level has had `history` losses;
    until then it is uniform (Nichol and Dhariwal 2021, arXiv:2102.09672, equation 18). The weight
    1 / (N p) makes up for it. The losses are of the training that it draws the times of: a memory,
    which the state of training holds (`TrainState.memory`), so that a resumed run goes on with it.
    Without a memory, as where a model is evaluated, times are uniform.

    Attributes:
        history: the losses of each level that are remembered.
        uniform: the share of draws that are uniform whatever the losses, in [0, 1].
    """

    history: int = 10
    uniform: float = 0.001

    def __post_init__(self):
        super().__post_init__()
        if self.history < 1 or not 0 <= self.uniform <= 1:
            raise UsageError(
                "Times by the losses' second moment need history of 1 or more and uniform in "
                f"[0, 1], got {self.history} and {self.uniform}."
            )

    def init_memory(self) -> Memory:
        """No losses: "losses" [levels, history] and "count" [levels], of all that there were."""
        num = len(self.levels)
        losses = jnp.zeros((num, self.history), jnp.result_type(float))
        return {"losses": losses, "count": jnp.zeros(num, jnp.int32)}

    def probabilities(self, memory: Memory) -> Array:
        """p of each level, [levels]."""
        num = len(memory["count"])
        size = jnp.sqrt(jnp.mean(memory["losses"] ** 2, axis=1))
        mixed = (1 - self.uniform) * size / jnp.sum(size) + self.uniform / num
        known = jnp.all(memory["count"] >= self.history) & (jnp.sum(size) > 0)
        return jnp.where(known, mixed, 1 / num)

    def __call__(self, key, n, memory=None):
        if memory is None:
            return super().__call__(key, n)
        levels, p = self.levels, self.probabilities(memory)
        number = jax.random.choice(key, len(levels), (n,), p=p)
        return levels[number], 1 / (len(levels) * p[number])

    def remember(self, memory: Memory, t: Array, losses: Array) -> Memory:
        """The memory with the losses of a batch, each without its weight, as the latest.

        Those of a level count in the order of the batch; each takes the place of its oldest.

        Args:
            memory: as made by `init_memory`.
            t: times of the losses, [batch].
            losses: [batch].
        """
        number, order = self.number(t), jnp.arange(len(t))
        same = number[:, None] == number[None, :]
        before = jnp.sum(same & (order[None, :] < order[:, None]), axis=1)
        after = jnp.sum(same & (order[None, :] > order[:, None]), axis=1)
        slot = (memory["count"][number] + before) % self.history
        # What a later loss of the batch overwrites is left out: a scatter has no order.
        kept = jnp.where(after < self.history, number, len(memory["count"]))
        return {
            "losses": memory["losses"].at[kept, slot].set(losses, mode="drop"),
            "count": memory["count"].at[number].add(1),
        }
