"""What a training step makes of its gradient: parameters, optimizer's state and averages.

A step whose loss or gradient is not finite changes nothing. In bfloat16, one batch in a long run
may overflow. Its update would make every parameter NaN; left out, the run goes on with the next
batch. What is left out is the whole step, of which optax's own `apply_if_finite` sees a part: the
averages and what the loss remembers are no part of an optimizer; it looks at the gradient alone,
and not at the loss; and where too many steps in a row are bad, it applies the bad update, where a
run should stop with its last good state.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from scoresde.training import norms
from scoresde.training.averages import Average, update_averages
from scoresde.training.state import TrainState

PyTree = Any


class Found(NamedTuple):
    """What a step found out before it changes anything, of the whole batch on all devices.

    Attributes:
        loss: scalar.
        gradient: of it, a tree like the state's parameters.
        norm: the gradient's global norm, scalar; not finite where any part of it is not.
        params: where it was taken, if not at the state's parameters; else None.
        memory: what the loss remembers now.
    """

    loss: jax.Array
    gradient: PyTree
    norm: jax.Array
    params: PyTree
    memory: PyTree

    @property
    def sound(self) -> jax.Array:
        """Whether the step is made."""
        return jnp.isfinite(self.loss) & jnp.isfinite(self.norm)


def at_once(
    optimizer: optax.GradientTransformationExtraArgs,
    averages: Mapping[str, Average],
    state: TrainState,
    found: Found,
) -> TrainState:
    """The state after a step, its new values chosen where they are made.

    The choice is fused with the update: it costs no pass over the parameters of its own.
    """
    params = state.params if found.params is None else found.params
    inputs = found.gradient, state.opt_state, params
    updates, opt_state = optimizer.update(*inputs, value=found.loss)
    params = optax.apply_updates(params, updates)
    shadows = update_averages(averages, state.averages, params, state.step + 1)
    after = dataclasses.replace(state, params=params, averages=shadows, opt_state=opt_state)
    sound = found.sound
    chosen = jax.tree.map(lambda new, old: jnp.where(sound, new, old), after, state)
    return _counted(chosen, found)


def one_by_one(
    optimizer: optax.GradientTransformationExtraArgs,
    averages: Mapping[str, Average],
    state: TrainState,
    found: Found,
) -> TrainState:
    """The same, of one part after the other, each in the memory of what it was.

    For XLA's CPU backend, which makes a loop over each array of each part, all of them from the old
    state: so it computes the moments in every one, and copies whatever is still read when its
    memory is due. Parameters come first, since they need the optimizer's state as it was. An
    optimizer is asked twice, for its update and for its state, so that this is for one that costs
    little, as those do that treat each number by itself.
    """

    at = found.params

    def move(params: PyTree, seen: tuple[Found, PyTree]) -> PyTree:
        # What the loop carries: what else it reads would be copied.
        found, opt_state = seen
        start = params if at is None else found.params
        updates, _ = _updated(optimizer, found, opt_state, start)
        return optax.apply_updates(start, updates)

    def remember(opt_state: PyTree, seen: Found) -> PyTree:
        return _updated(optimizer, seen, opt_state, seen.params)[1]

    def average(shadows: PyTree, seen: tuple[PyTree, jax.Array]) -> PyTree:
        return update_averages(averages, shadows, *seen)

    turns = found.sound.astype(jnp.int32)
    none, params = _in_place(move, turns, state.params, (found, state.opt_state))
    seen = found if at is not None else found._replace(params=state.params)
    _, opt_state = _in_place(remember, turns + none, state.opt_state, seen)
    _, shadows = _in_place(average, turns, state.averages, (params, state.step + 1))
    after = dataclasses.replace(state, params=params, averages=shadows, opt_state=opt_state)
    return _counted(after, found)


def _updated(optimizer, found: Found, opt_state: PyTree, params: PyTree) -> tuple[PyTree, PyTree]:
    with norms.known(found.gradient, found.norm):
        return optimizer.update(found.gradient, opt_state, params, value=found.loss)


def _in_place(
    change: Callable, turns: jax.Array, value: PyTree, seen: PyTree
) -> tuple[jax.Array, PyTree]:
    """0, and change(value, seen) if there is one turn; without any, value.

    A loop, since XLA changes what a loop carries where it is, and computes nothing of one loop anew
    in the next. It does not know how many turns there are. The 0 is known once the loop has ended.
    """

    def body(carry: tuple[jax.Array, PyTree]) -> tuple[jax.Array, PyTree]:
        # Without a barrier it would compute beforehand, and write down, what has to do with what
        # is seen alone.
        left, value, inputs = lax.optimization_barrier((*carry, seen))
        return left - 1, change(value, inputs)

    return lax.while_loop(lambda carry: carry[0] > 0, body, (turns, value))


def _counted(state: TrainState, found: Found) -> TrainState:
    """The step counts whatever it changed, so that the next has other data and another key."""
    sound, (total, row) = found.sound, state.skipped
    skipped = jnp.stack([total + ~sound, jnp.where(sound, 0, row + 1)]).astype(jnp.int32)
    memory = jax.tree.map(lambda new, old: jnp.where(sound, new, old), found.memory, state.memory)
    return dataclasses.replace(state, step=state.step + 1, skipped=skipped, memory=memory)
