"""Everything that changes during training, as one pytree."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from scoresde.keys import one_key
from scoresde.registry import UsageError, shown
from scoresde.training.averages import Average, init_averages, listed

PyTree = Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainState:
    """A training run between two steps. Restoring it continues the run exactly.

    Attributes:
        step: number of steps made, those skipped too, int32 scalar.
        params: the network's parameters.
        averages: averages of them over the run, by name; each has the structure of `params`.
        opt_state: the optimizer's state.
        key: typed PRNG key, scalar. It never changes: step n draws from `fold_in(key, n)`, so the
            randomness of a step depends on nothing but the seed and n.
        memory: what the loss remembers from step to step, any pytree of arrays; None if nothing.
        skipped: how many steps changed nothing, since their gradient was not finite: in all, and
            in a row up to now; int32 [2].
    """

    step: jax.Array
    params: PyTree
    averages: dict[str, PyTree]
    opt_state: PyTree
    key: jax.Array
    memory: PyTree = None
    skipped: jax.Array

    def __repr__(self) -> str:
        count = sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(self.params))
        return (
            f"TrainState(step {self.step}, {count:,} parameters, averages {listed(self.averages)})"
        )

    def averaged(self, name: str | None) -> PyTree:
        """The average called `name`, or the raw parameters if that is None.

        Raises:
            UsageError: there is no such average.
        """
        if name is None:
            return self.params
        if name not in self.averages:
            raise UsageError(
                f"There is no average {name!r}; there are {listed(self.averages)}, and None is the "
                "raw parameters."
            )
        return self.averages[name]


def create_state(
    key: jax.Array,
    params: PyTree,
    optimizer: optax.GradientTransformation,
    averages: Mapping[str, Average],
    memory: PyTree = None,
) -> TrainState:
    """The state before the first step.

    The arrays are copied, because a train step donates its state and the caller's `key`, `params`
    and `memory` should survive that.

    Args:
        key: one random key (`jax.random.key(seed)`).
        params: the network's initial parameters.
        optimizer: as given to `make_train_step`.
        averages: as given to `make_train_step`.
        memory: of a loss that remembers, before the first step; see `scoresde.training.loss_fn`.

    Raises:
        UsageError: `key` is no random key, there are no parameters, `optimizer` is none; and see
            `init_averages`.
    """
    key = one_key(key)
    if not jax.tree.leaves(params):
        raise UsageError(
            f"There are no parameters to train, params={shown(params)}: give it those of "
            "network.init(key, image_shape), or of experiment.init(key)."
        )
    if not isinstance(optimizer, optax.GradientTransformation):
        raise UsageError(f"The optimizer is what make_optimizer returns, not {shown(optimizer)}.")

    def copy(tree: PyTree) -> PyTree:
        return jax.tree.map(
            lambda leaf: jnp.array(leaf, getattr(leaf, "dtype", None), copy=True), tree
        )

    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=copy(params),
        averages=copy(init_averages(averages, params)),
        opt_state=copy(optimizer.init(params)),  # some keep the parameters themselves
        key=jax.random.clone(key),
        memory=copy(memory),
        skipped=jnp.zeros(2, jnp.int32),
    )
