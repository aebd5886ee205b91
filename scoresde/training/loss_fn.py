"""What is trained: a function of the parameters, a key and a batch.

    loss_fn(params, key, batch) -> (loss, metrics)

with a scalar loss and a dictionary of metrics: scalars, means over the batch, or means over parts
of it, `scoresde.training.part_means`. One that remembers from step to step what is not its
parameters, such as the losses by which times are drawn, has a memory, any pytree, in the state
(`create_state(..., memory=)`), and is called and answers with it:

    loss_fn(params, key, batch, memory=memory) -> (loss, metrics, memory after the step)
"""

from collections.abc import Callable
from typing import Any

import jax

from scoresde.registry import UsageError

PyTree = Any
Metrics = dict[str, jax.Array]
LossFn = Callable[..., tuple]


def checked(loss_fn: LossFn) -> Callable[..., tuple[jax.Array, tuple[Metrics, PyTree]]]:
    """`loss_fn` as (params, key, batch, memory, *frozen) -> (loss, (metrics, memory)).

    It refuses metrics under the names that the step itself reports. Without a memory, None is given
    and returned.
    """

    def checked(
        params: PyTree, key: jax.Array, batch: PyTree, memory: PyTree = None, *frozen: PyTree
    ) -> tuple[jax.Array, tuple[Metrics, PyTree]]:
        remembered = {} if memory is None else {"memory": memory}
        result = loss_fn(params, key, batch, *frozen, **remembered)
        if len(result) != 2 + len(remembered):
            raise UsageError(
                f"The loss function returns {len(result)} values; it should be (loss, metrics), "
                "and with a memory in the state (loss, metrics, memory)."
            )
        loss, metrics, after = (*result, None)[:3]
        own = {"loss", "grad_norm", "param_norm", "learning_rate", "skipped"}
        taken = own & metrics.keys()
        if taken:
            raise UsageError(
                f"The loss function reports a metric called {min(taken)!r}, a name that the train "
                "step uses itself; rename it."
            )
        return loss, (metrics, after)

    return checked
