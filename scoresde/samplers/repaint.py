"""RePaint: going back to more noise, and down again, so that a constraint is heard.

Lugmayr et al. 2022, arXiv:2201.09865.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde import plain
from scoresde.keys import fold_in, normal, split
from scoresde.registry import UsageError, component
from scoresde.samplers.grid_sampler import CONSTRAINT, GridSampler, impose
from scoresde.samplers.interface import Samples
from scoresde.samplers.predictors import PREDICTORS, Predictor
from scoresde.sdes import SDE, expand


def resampling_schedule(
    levels: int, jump_length: int = 10, rounds: int = 10, start: int | None = None
) -> np.ndarray:
    """The levels of noise that are visited, from levels - 1 down to -1, the clean data.

    At every multiple of `jump_length` below levels - jump_length it goes up by as much and down
    again, rounds - 1 times (algorithm 1 and appendix). A falling pair is a step, a rising one an
    undo of it. [visits].

    Args:
        levels: how many levels there are.
        jump_length: how many levels a jump goes up, >= 1.
        rounds: how often each stretch is gone down, >= 1; 1 is no resampling.
        start: jumps reach at most this level; all of them if None.

    Raises:
        UsageError: a number that is out of range.
    """
    for what, value in (("levels", levels), ("jump_length", jump_length), ("rounds", rounds)):
        _check_positive(what, value)
    highest = min(levels - jump_length - 1, levels if start is None else start - jump_length)
    visited = [levels - 1]
    for level in range(levels - 2, -2, -1):
        visited.append(level)
        if level >= 0 and level % jump_length == 0 and level <= highest:
            up = list(range(level + 1, level + jump_length + 1))
            visited += (rounds - 1) * [*up, *reversed(up[:-1]), level]
    return np.array(visited)


def _check_positive(what, value):
    plain.check(what, value, int)
    if value < 1:
        raise UsageError(f"{what} must be at least 1, got {value}.")


def undo(x: Array, z: Array, s: Array, t: Array, sde: SDE) -> Array:
    """x [batch, ...] at time s, and noise z like it, in the forward step to t > s: a x + b z."""
    a, b_squared = sde.transition(s, t)
    return expand(a, x) * x + expand(jnp.sqrt(b_squared), x) * z


@dataclasses.dataclass(frozen=True, kw_only=True)
class RePaint(GridSampler):
    """RePaint: a predictor's steps, each stretch undone and gone again for a constraint's sake.

    The last time of the grid is level 0 of `resampling_schedule`; the final denoising goes from
    there to the clean data. Without a constraint it samples as the predictor does, at more cost.

    Attributes:
        predictor: whose steps they are; also by a name of PREDICTORS or a section.
        jump_length: how many steps are undone at a time, >= 1.
        rounds: how often each stretch is gone down, >= 1.
    """

    predictor: str | Mapping[str, Any] | Predictor = "ancestral_sampling"
    jump_length: int = 10
    rounds: int = 10

    def __post_init__(self):
        predictor = component("predictor", PREDICTORS, self.predictor, Predictor)
        object.__setattr__(self, "predictor", predictor)
        super().__post_init__()
        for what in ("jump_length", "rounds"):
            _check_positive(what, getattr(self, what))

    @property
    def last_predictor(self):
        return self.predictor

    @property
    def evaluations(self):
        return self.predictor.evaluations

    def total_evaluations(self, steps):
        jumps = steps // self.jump_length
        return (steps + jumps * (self.rounds - 1) * self.jump_length) * self.evaluations

    def check(self, denoiser):
        self.predictor.check(denoiser)

    def run(self, keys, x, times, steps, denoiser, condition, constraint, observer):
        given = denoiser.given(condition)

        def down(number, x, place):
            t, s = times[place], times[place + 1]
            return self.predictor.step(split(fold_in(keys, number))[0], x, t, s, given, ())[0]

        def up(number, x, place):
            # From times[place] to the time before it, which has more noise.
            own = split(fold_in(keys, number))[1]
            z = normal(own, x.shape, x.dtype)
            return undo(x, z, times[place], times[place - 1], given.sde)

        def unfinished(state):
            _, _, place, left, *_ = state
            return (place < steps) | (left > 0)

        def body(state):
            number, x, place, left, lowest, done, seen = state
            rising = left > 0
            x = jax.lax.cond(rising, up, down, number, x, place)
            place = jnp.where(rising, place - 1, place + 1)
            left = jnp.where(rising, left - 1, 0)
            if constraint is not None:
                own = fold_in(fold_in(keys, CONSTRAINT), number)
                x = impose(constraint, own, x, times[place], condition)
            level = steps - place
            new = level < lowest
            lowest, done = jnp.minimum(level, lowest), jnp.where(new, 0, done)
            here = (level == lowest) & (level % self.jump_length == 0) & ~rising
            jump = here & (level <= steps - self.jump_length) & (done < self.rounds - 1)
            left, done = jnp.where(jump, self.jump_length, left), jnp.where(jump, done + 1, done)
            observer.progress((steps - lowest - new) / steps, (steps - lowest) / steps)
            seen = observer.see(seen, jnp.maximum(place - 1, 0), x)
            return number + 1, x, place, left, lowest, done, seen

        zero = jnp.asarray(0)
        start = zero, x, zero, zero, jnp.asarray(steps), zero, observer.start(x)
        _, x, *_, seen = jax.lax.while_loop(unfinished, body, start)
        x = self.denoise(x, times[steps], given, self)
        nfe = self.total_evaluations(steps) + self.final_evaluations
        return Samples(x, jnp.full(x.shape[:1], nfe, jnp.int32), seen)
