"""What is trained: a function of the parameters, a key and a batch."""

from collections.abc import Callable
from typing import Any

import jax

from scoresde.registry import UsageError

PyTree = Any
Metrics = dict[str, jax.Array]
# (params, key, batch) -> (scalar loss, dict of scalar metrics), means over the batch.
LossFn = Callable[..., tuple[jax.Array, Metrics]]


def checked(loss_fn: LossFn) -> LossFn:
    """`loss_fn`, refusing metrics under the names that the step itself reports."""

    def checked(
        params: PyTree, key: jax.Array, batch: PyTree, *frozen: PyTree
    ) -> tuple[jax.Array, Metrics]:
        loss, metrics = loss_fn(params, key, batch, *frozen)
        taken = {"loss", "grad_norm"} & metrics.keys()
        if taken:
            raise UsageError(
                f"The loss function reports a metric called {min(taken)!r}, a name that the train "
                "step uses itself; rename it."
            )
        return loss, metrics

    return checked
