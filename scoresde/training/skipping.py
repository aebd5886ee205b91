"""Steps that change nothing, since their loss or gradient is not finite.

In bfloat16, one batch in a long run may overflow. Its update would make every parameter NaN; left
out, the run goes on with the next batch. What is left out is the whole step, of which optax's own
`apply_if_finite` sees a part: the averages and what the loss remembers are no part of an optimizer;
it looks at the gradient alone, and not at the loss; and where too many steps in a row are bad, it
applies the bad update, where a run should stop with its last good state.
"""

import dataclasses

import jax
import jax.numpy as jnp

from scoresde.training.state import TrainState


def unless_broken(
    loss: jax.Array, grad_norm: jax.Array, before: TrainState, after: TrainState
) -> TrainState:
    """`after` where a step's loss and gradient are finite, else `before`; the step is counted.

    Both numbers are of the whole batch, so that all devices choose alike, and the choice is fused
    with the update: it costs no pass over the parameters of its own.

    Args:
        loss: scalar.
        grad_norm: the global norm of the gradient, scalar; not finite where any part of it is not.
        before: the state before the step.
        after: the state after it.
    """
    sound = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    total, row = before.skipped
    skipped = jnp.stack([total + ~sound, jnp.where(sound, 0, row + 1)])
    chosen = jax.tree.map(lambda new, old: jnp.where(sound, new, old), after, before)
    return dataclasses.replace(chosen, skipped=skipped.astype(jnp.int32))
