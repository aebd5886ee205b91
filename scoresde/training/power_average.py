"""The average of the parameters whose memory is a share of the run (arXiv:2312.02696)."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scoresde.plain import check_fields
from scoresde.training.power_profile import exponent_of
from scoresde.training.tree import averageable

PyTree = Any


@dataclasses.dataclass(frozen=True, kw_only=True)
class PowerEMA:
    """Average whose memory is a share of the run: after update n it moves by 1 - beta_n.

        p̄ <- beta_n p̄ + (1 - beta_n) p,    beta_n = (1 - 1/n)^(gamma + 1).

    Of a run of n steps, the one of step k counts in proportion to k^gamma, nearly
    (`scoresde.training.power_profile`), whatever n: it needs no rate that suits the run's length,
    and forgets the initial parameters at the first update. Of snapshots of it, averages of other
    lengths are put together after the run (`scoresde.training.reconstruct`).

    Attributes:
        length: the standard deviation of the profile as a share of the run, 0.05 or 0.10 in the
            paper; above 0 and up to 0.2886, where all steps count the same.

    Raises:
        UsageError: no such length.
    """

    length: float

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "length", float(self.length))
        _ = self.exponent

    @functools.cached_property
    def exponent(self) -> float:
        """gamma."""
        return exponent_of(self.length)

    def newest_weight(self, step: jax.Array | int) -> jax.Array:
        """1 - beta_n, what the newest parameters count at update n = `step`; scalar."""
        n = jnp.asarray(step, jnp.result_type(float))
        return -jnp.expm1((self.exponent + 1) * jnp.log1p(-1 / n))

    def init(self, params: PyTree) -> PyTree:
        """The initial parameters, which the first update replaces; refused in 16 bits."""
        return averageable(params)

    def update(self, state: PyTree, params: PyTree, step: jax.Array | int) -> PyTree:
        """beta_n p̄ + (1 - beta_n) p, with p̄ = `state` and p = `params`."""
        return optax.incremental_update(params, state, self.newest_weight(step))
