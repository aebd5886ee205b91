"""Samplers that step along a grid of times, and the moves that such a step is made of.

A step from t to s of the grid is one move, or several: a predictor's from t to s, a corrector's at
either time. After each move the constraint, if there is one, has its say. The loop is compiled once
for all numbers of steps: a study of quality against cost compiles a network once a sampler.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.keys import fold_in, split
from scoresde.registry import UsageError
from scoresde.samplers.interface import Constraint, Sampler, Samples

# Folded into a sample's key for its constraint; the driver folds in one more, steps their numbers.
CONSTRAINT = 2**31 - 2


class Move:
    """One move of a step. A subclass defines `step`, and what else it changes."""

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations of the move."""
        return 1

    def total_evaluations(self, steps: int | Array) -> int | Array:
        """Denoiser evaluations of the first `steps` moves."""
        return steps * self.evaluations

    def init(self, x: Array, denoiser: BaseDenoiser, steps: Array) -> Any:
        """What the first of `steps` moves is handed as `carry`."""
        return ()

    def step(
        self, keys: Array, x: Array, t: Array, s: Array | None, denoiser: BaseDenoiser, carry: Any
    ) -> tuple[Array, Any]:
        """Moves x [batch, ...] in the step from t to s < t; returns it and the next carry.

        `keys` holds one key per sample, for this move. `s` is None after the last step.
        """
        raise TypeError(f"{type(self).__name__} must define step.")

    def arrival(self, t: Array, s: Array | None) -> Array:
        """The time of x after the move."""
        return s


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridSampler(Sampler, Move):
    """A sampler that steps along a decreasing grid of times, by default in one move: itself."""

    @property
    def moves(self) -> tuple[Move, ...]:
        """What a step is made of, in order."""
        return (self,)

    @property
    def closing_moves(self) -> tuple[Move, ...]:
        """What follows the last step, before the final denoising: of `moves`, those at t."""
        return ()

    @property
    def final_evaluations(self) -> int:
        """Denoiser evaluations of all that follows the last step."""
        closing = sum(move.evaluations for move in self.closing_moves)
        return closing + self.denoise.evaluations(self)

    def steps_within(self, nfe: int) -> int:
        """The most steps that take at most `nfe` evaluations, the final denoising included.

        Raises:
            UsageError: not even one step does.
        """
        counts = self.total_evaluations(np.arange(nfe + 1)) + self.final_evaluations
        steps = int(np.searchsorted(np.asarray(counts), nfe, side="right")) - 1
        if steps < 1:
            raise UsageError(f"{nfe} evaluations are not enough for one step of this sampler.")
        return steps

    def run(self, keys, x, times, steps, denoiser, condition, constraint, observer):
        given = denoiser.given(condition)
        own_keys = None if constraint is None else fold_in(keys, CONSTRAINT)

        def make(moves, number, x, t, s, carries):
            """`moves` one after another, of the step of this number."""
            after = []
            for i, (move, carry) in enumerate(zip(moves, carries)):
                x, carry = move.step(_keys_of(keys, number, i, moves), x, t, s, given, carry)
                after.append(carry)
                if constraint is not None:
                    imposed_keys = _keys_of(own_keys, number, i, moves)
                    x = impose(constraint, imposed_keys, x, move.arrival(t, s), condition)
            return x, tuple(after)

        def body(number, state):
            x, carries, seen = state
            x, carries = make(self.moves, number, x, times[number], times[number + 1], carries)
            observer.progress(number / steps, (number + 1) / steps)
            return x, carries, observer.see(seen, number, x)

        start = tuple(move.init(x, given, steps) for move in self.moves)
        x, carries, seen = jax.lax.fori_loop(0, steps, body, (x, start, observer.start(x)))
        closing = self.closing_moves
        carries = [carries[self.moves.index(move)] for move in closing]
        x, _ = make(closing, steps, x, times[steps], None, carries)
        x = self.denoise(x, times[steps], given, self)
        nfe = self.total_evaluations(steps) + self.final_evaluations
        return Samples(x, jnp.full(x.shape[:1], nfe, jnp.int32), seen)


def _keys_of(keys, number, i, moves):
    """The keys of move i of the step of this number, out of those of the samples."""
    keys = fold_in(keys, number)
    return keys if len(moves) == 1 else split(keys, len(moves))[i]


def impose(constraint: Constraint, keys: Array, x: Array, t: Array, condition: Condition) -> Array:
    """What the constraint makes of x [batch, ...], which must have its shape."""
    imposed = constraint(keys, x, t, condition)
    if jnp.shape(imposed) != x.shape:
        raise UsageError(
            f"The constraint returned an array of shape {jnp.shape(imposed)} for x of shape "
            f"{x.shape}; it must return x, of the same shape."
        )
    return jnp.asarray(imposed, x.dtype)
