"""Averages of the parameters over a run: each a pair of functions of its own, by name.

The last iterate of a run is noisy, and an average of its past is what one samples from. A training
state holds as many as it is given, by name: two of different rates, some of which any other is put
together after the run (`scoresde.training.power_average`), or none. One is any object with

    init(params) -> state                     before the first step
    update(state, params, step) -> state      after the step-th update, counted from 1

whose state has the structure, shapes and types of the parameters. That is what lets a network use
it in their place, checkpoints hand it out by its name, and the mesh hold it as it holds them.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from scoresde import registry
from scoresde.plain import check_fields
from scoresde.training.power_average import PowerEMA
from scoresde.training.tree import averageable, differences

PyTree = Any


class Average(Protocol):
    """An average of the parameters. Both functions must be traceable by JAX."""

    def init(self, params: PyTree) -> PyTree:
        """The average before the first step, a tree like `params`."""
        ...

    def update(self, state: PyTree, params: PyTree, step: jax.Array) -> PyTree:
        """The average after an update of the parameters.

        Args:
            state: the average before it.
            params: the parameters after it.
            step: which update it is, counted from 1; int32 scalar.
        """
        ...


# The warm-ups give 1 - r_n rather than r_n: in float32, 1 - 0.9999 has lost four of its digits.
def _constant(n: jax.Array | int, rate: float) -> jax.Array:
    del n
    return jnp.asarray(1.0 - rate, jnp.float32)


def _inverse(n: jax.Array | int, rate: float) -> jax.Array:
    return jnp.maximum(1.0 - rate, 9.0 / (10.0 + jnp.asarray(n, jnp.float32)))


def _edm(n: jax.Array | int, rate: float) -> jax.Array:
    """A half-life of at most a twentieth of the steps before: the batch size cancels in it."""
    before = jnp.maximum(jnp.asarray(n, jnp.float32) - 1.0, 1e-8)
    return jnp.maximum(1.0 - rate, -jnp.expm1(-math.log(2.0) / (0.05 * before)))


WARMUPS = {"none": _constant, "inverse": _inverse, "edm": _edm}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EMA:
    """Exponential moving average: p̄ <- r_n p̄ + (1 - r_n) p after the n-th update.

    It starts at the initial parameters.

    Attributes:
        rate: the rate r in the long run, in [0, 1); 0 makes the average follow the parameters.
        warmup: "none" for r_n = r (the rule of score_sde in JAX), "inverse" for
            r_n = min(r, (1 + n) / (10 + n)), which forgets the initial parameters sooner (the rule
            of score_sde in PyTorch), or "edm" for a half-life of at most 5 % of the run so far,
            r_n = min(r, 2^(-20 / (n - 1))) (Karras et al. 2022, arXiv:2206.00364, appendix F).

    Raises:
        UsageError: unknown warm-up, or a rate outside [0, 1).
    """

    rate: float
    warmup: str = "none"

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.rate < 1:
            raise registry.UsageError(f"The EMA rate must lie in [0, 1), not {self.rate}.")
        registry.member("EMA warm-up", WARMUPS, self.warmup)

    def newest_weight(self, step: jax.Array | int) -> jax.Array:
        """1 - r_n, what the newest parameters count at update n = `step`; float32 scalar."""
        return WARMUPS[self.warmup](step, self.rate)

    def start_weight(self, steps: int) -> float:
        """What the initial parameters still count after `steps` updates, r_1 ... r_steps."""
        newest = self.newest_weight(np.arange(1, steps + 1))
        return float(np.prod(1.0 - np.broadcast_to(newest, steps), dtype=np.float64))

    def init(self, params: PyTree) -> PyTree:
        """The initial parameters themselves; refused in 16 bits."""
        return averageable(params)

    def update(self, state: PyTree, params: PyTree, step: jax.Array | int) -> PyTree:
        """r_n p̄ + (1 - r_n) p, with p̄ = `state` and p = `params`."""
        return optax.incremental_update(params, state, self.newest_weight(step))


AVERAGES = {"ema": EMA, "power": PowerEMA}


def init_averages(averages: Mapping[str, Average], params: PyTree) -> dict[str, PyTree]:
    """The averages before the first step, by name.

    Raises:
        UsageError: a name that is no identifier, or "raw"; what is no average, or an average that
            is not like the parameters.
    """
    if not isinstance(averages, Mapping):
        raise registry.UsageError(
            "The averages of the parameters are given by name, as {'ema': EMA(rate=0.9999)}, and "
            f"not as {registry.shown(averages)}."
        )
    for name, average in averages.items():
        if isinstance(average, type) or not hasattr(average, "init"):
            raise registry.UsageError(
                f"The average {name!r} must be an object, as EMA(rate=0.9999), not "
                f"{registry.shown(average)}."
            )
        if not isinstance(name, str) or not (name.isascii() and name.isidentifier()):
            raise registry.UsageError(
                f"An average cannot be called {name!r}: its name is part of a folder's; make it of "
                "letters, digits and _."
            )
        if name == "raw":
            raise registry.UsageError(
                "An average cannot be called 'raw': results of the last iterate are called so."
            )
    return {name: _like(params, name, average.init(params)) for name, average in averages.items()}


def update_averages(
    averages: Mapping[str, Average], states: Mapping[str, PyTree], params: PyTree, step: jax.Array
) -> dict[str, PyTree]:
    """The averages after an update of the parameters, by name. See `Average.update`.

    Raises:
        UsageError: the states are of other averages, or an average is not like the parameters.
    """
    if averages.keys() != states.keys():
        raise registry.UsageError(
            f"The state holds the averages {listed(states)}, and the train step updates "
            f"{listed(averages)}; give create_state and make_train_step the same averages."
        )
    return {
        name: _like(params, name, average.update(states[name], params, step))
        for name, average in averages.items()
    }


def listed(names: Iterable[str]) -> str:
    """Names in a sentence."""
    return ", ".join(sorted(names)) or "(none)"


def _like(params: PyTree, name: str, state: PyTree) -> PyTree:
    words = differences(params, state)
    if not words and jax.tree.structure(params) != jax.tree.structure(state):
        words = "its containers are others"
    if words:
        raise registry.UsageError(
            f"The average {name!r} is no tree like the parameters: {words}. Have its init and "
            "update return one."
        )
    return state
