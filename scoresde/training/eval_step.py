"""The loss of an average of the parameters on data that nothing is trained on."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from scoresde.training.loss_fn import LossFn, Metrics, checked
from scoresde.training.mesh import batch_sharding, replicated
from scoresde.training.packing import unpacked
from scoresde.training.state import TrainState

PyTree = Any


def make_eval_step(
    loss_fn: LossFn, mesh: Mesh, *, average: str | None = "ema"
) -> Callable[[TrainState, jax.Array, PyTree], Metrics]:
    """A compiled `eval_step(state, key, batch) -> metrics`.

    `metrics` are scalars: "loss" and those of `loss_fn`. The same `key` at every evaluation makes
    the values of a run comparable, since they then differ in the parameters alone.

    Args:
        loss_fn: as in `make_train_step`, usually with dropout off; it is given no memory.
        mesh: as made by `make_mesh`; `batch` arrays [batch, ...] are split over it.
        average: which average of the state is evaluated; None for the raw parameters.

    Raises:
        UsageError: a mesh that cannot be used, or at a call, a state without this average.
    """
    checked_fn = checked(loss_fn)

    def loss_and_metrics(params: PyTree, key: jax.Array, batch: PyTree) -> Metrics:
        loss, (metrics, _) = checked_fn(params, key, batch)
        return {"loss": loss, **metrics}

    whole = replicated(mesh)
    compiled = jax.jit(
        loss_and_metrics,
        in_shardings=(None, whole, batch_sharding(mesh)),  # None: where the parameters are
        out_shardings=whole,
    )

    def eval_step(state: TrainState, key: jax.Array, batch: PyTree) -> Metrics:
        return compiled(unpacked(state.averaged(average)), key, batch)

    return eval_step
