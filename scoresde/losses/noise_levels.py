"""Losses by the level of the noise: eight parts of the log-SNR, from the least noise to the most.

Level 1 is log-SNR 9 and above, where the data are seen through next to no noise, and level 8 is -9
and below, where there is next to nothing to see.
"""

import itertools

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.sdes import SDE

LEVELS = 8
"""Their number."""

MOST = 12.0
"""The log-SNR beyond which, above and below, no levels are told apart."""

_WIDTH = 2 * MOST / LEVELS


def level_of(sde: SDE, t: Array) -> Array:
    """The level of each time: 0 is of the least noise, 7 of the most; like t."""
    below = MOST - jnp.clip(sde.log_snr(t), -MOST, MOST)
    level = jnp.clip(jnp.floor(below / _WIDTH), 0, LEVELS - 1)
    return jax.lax.stop_gradient(level.astype(jnp.int32))


def level_words() -> list[str]:
    """The log-SNRs of each level, for a legend."""
    ends = [MOST - _WIDTH * i for i in range(LEVELS + 1)]
    inner = [f"{low:g} .. {high:g}" for high, low in itertools.pairwise(ends)]
    return [f"above {ends[1]:g}", *inner[1:-1], f"below {ends[-2]:g}"]
