"""The part of the way in which guidance applies (Kynkäänniemi et al. 2024, arXiv:2404.07724).

At high noise guidance narrows the distribution to few modes, at low noise it does nothing for the
quality; in between it pays. Outside of the interval the model is unguided.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.registry import UsageError, shown
from scoresde.sdes import SDE
from scoresde.times import is_traced

LEVELS = {
    "noise_level": lambda sde, t: sde.sigma(t) / sde.alpha(t),
    "time": lambda sde, t: t,
}
"""What an interval may be of."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """low < level <= high, as the paper's.

    Attributes:
        low: where guidance ends, on the way from the noise to the data.
        high: where it begins.
        of: "noise_level", sigma / alpha, the paper's (EDM's) sigma whatever the process; or "time",
            the process's own t.

    Raises:
        UsageError: low is not below high, or there is nothing called so.
    """

    low: float
    high: float
    of: str = "noise_level"

    def __post_init__(self):
        plain.interval("The interval of guidance", (self.low, self.high))
        if self.of not in LEVELS:
            raise UsageError(
                f"An interval of guidance is of {' or '.join(LEVELS)}, not {shown(self.of)}."
            )

    @classmethod
    def of_value(cls, value: Any) -> "Interval | None":
        """`value` as one: None; one as it is; or (low, high) of noise levels, also with `of`."""
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, tuple | list) and len(value) in (2, 3):
            return cls(*value)
        raise UsageError(
            "The interval of guidance is (low, high) in noise levels sigma / alpha, or "
            f"Interval(low, high, of='time'), not {shown(value)}."
        )

    def contains(self, sde: SDE, t: Array) -> Array:
        """Whether guidance applies at the times t; of the shape of t."""
        level = LEVELS[self.of](sde, t)
        return (self.low < level) & (level <= self.high)

    def meets(self, sde: SDE) -> bool:
        """Whether any time of the process is inside; yes where that is unknown, being traced."""
        if is_traced(sde):
            return True
        with jax.ensure_compile_time_eval():
            first, last = (LEVELS[self.of](sde, jnp.asarray(t)) for t in (sde.t_min, sde.t_max))
            return bool((first <= self.high) & (self.low < last))
