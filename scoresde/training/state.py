"""Everything that changes during training, as one pytree."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

PyTree = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """A training run between two steps. Restoring it continues the run exactly.

    Attributes:
        step: number of optimiser updates made, int32 scalar.
        params: the network's parameters.
        ema_params: their exponential moving average, same structure.
        opt_state: the optimiser's state.
        key: typed PRNG key, scalar. It never changes: step n draws from `fold_in(key, n)`, so the
            randomness of a step depends on nothing but the seed and n.
    """

    step: jax.Array
    params: PyTree
    ema_params: PyTree
    opt_state: PyTree
    key: jax.Array


def create_state(
    key: jax.Array, params: PyTree, optimizer: optax.GradientTransformation
) -> TrainState:
    """The state before the first step: the EMA starts at the initial parameters.

    The arrays are copied, because a train step donates its state and the caller's `key` and
    `params` should survive that.

    Args:
        key: typed PRNG key (`jax.random.key(seed)`).
        params: the network's initial parameters.
        optimizer: as given to `make_train_step`.
    """

    def copy(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)

    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=copy(params),
        ema_params=copy(params),
        opt_state=optimizer.init(params),
        key=jax.random.clone(key),
    )
