"""The training step: gradient, optimiser and EMA, compiled once for one or many devices."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from scoresde.registry import UsageError
from scoresde.training import ema
from scoresde.training.sharding import batch_sharding, check_divisible, replicated
from scoresde.training.state import TrainState

PyTree = Any
Metrics = dict[str, jax.Array]
LossFn = Callable[..., tuple[jax.Array, Metrics]]


def _checked(loss_fn: LossFn) -> LossFn:
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


def _accumulated(
    gradient_fn: Callable, accumulate: int, mesh: Mesh
) -> Callable[..., tuple[tuple[jax.Array, Metrics], PyTree]]:
    """`gradient_fn` averaged over equal parts of the batch, of which one at a time is in memory."""

    def split(leaf: jax.Array) -> jax.Array:
        check_divisible(leaf.shape[0], mesh, accumulate)
        # Every part takes some rows of every device, so that no row changes its device.
        parts = leaf.reshape(leaf.shape[0] // accumulate, accumulate, *leaf.shape[1:])
        return jax.lax.with_sharding_constraint(
            jnp.moveaxis(parts, 1, 0), batch_sharding(mesh, axis=1)
        )

    def averaged(params: PyTree, key: jax.Array, batch: PyTree, *frozen: PyTree) -> Any:
        keys = jax.random.split(key, accumulate)
        parts = jax.tree.map(split, batch)
        first = jax.tree.map(lambda leaf: leaf[0], (keys, parts))
        zeros = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
            jax.eval_shape(lambda inputs: gradient_fn(params, *inputs, *frozen), first),
        )

        def add(total: PyTree, inputs: tuple[jax.Array, PyTree]) -> tuple[PyTree, None]:
            return jax.tree.map(jnp.add, total, gradient_fn(params, *inputs, *frozen)), None

        total, _ = jax.lax.scan(add, zeros, (keys, parts))
        return jax.tree.map(lambda leaf: leaf / accumulate, total)

    return averaged


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    ema_rate: float,
    ema_warmup: str = "none",
    steps_per_dispatch: int = 1,
    accumulate: int = 1,
    frozen: PyTree = None,
) -> Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]:
    """A compiled `train_step(state, batches) -> (state, metrics)`.

    One call makes `steps_per_dispatch` updates without returning to Python. `batches` are arrays
    [steps_per_dispatch, batch, ...] with the batch axis split over the mesh (`shard_batch` with
    axis=1); `metrics` are float32 arrays [steps_per_dispatch] that stay on the device: "loss",
    "grad_norm" (the global norm before clipping) and those of `loss_fn`. The state's memory is
    donated: the argument cannot be used again.

    It is an ordinary `jax.jit` function: `train_step.lower(state, batches).compile()` compiles it
    ahead of time, for its cost and memory analysis. Give it a state that `replicate` has put on
    the mesh, as the one it returns is; for one that is not there yet, JAX compiles twice.

    Args:
        loss_fn: (params, key, batch) -> (scalar loss, dict of scalar metrics), means over the
            batch. Step n is given the key `fold_in(state.key, n)`.
        optimizer: for instance from `make_optimizer`.
        mesh: as made by `make_mesh`.
        ema_rate: rate of the parameters' moving average, in [0, 1).
        ema_warmup: see `ema.ema_rate`.
        steps_per_dispatch: updates a call. On CPUs they are as many calls of one compiled step.
        accumulate: number of equal parts of a batch whose gradients are averaged, one part at a
            time, to fit a batch that the memory would not hold. An update is still one step: the
            schedule, the EMA and all counts mean the same. Each part draws from its own key.
        frozen: what the loss needs and nothing trains, such as another model's parameters. If it is
            given, `loss_fn` gets it as a fourth argument: an argument of the compiled step too,
            where a constant would be compiled into it. The step then has no `lower`.

    Raises:
        UsageError: at the first call, when the batch does not fit these numbers.
    """
    gradient_fn = jax.value_and_grad(_checked(loss_fn), has_aux=True)
    if accumulate > 1:
        gradient_fn = _accumulated(gradient_fn, accumulate, mesh)

    def one_step(state: TrainState, batch: PyTree, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        (loss, metrics), gradient = gradient_fn(state.params, key, batch, *frozen)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        step = state.step + 1
        state = dataclasses.replace(
            state,
            step=step,
            params=params,
            ema_params=ema.update(state.ema_params, params, step, ema_rate, ema_warmup),
            opt_state=opt_state,
        )
        metrics = {"loss": loss, "grad_norm": optax.tree.norm(gradient), **metrics}
        return state, jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), metrics)

    # XLA's CPU backend takes twenty times longer for a convolution's weight gradient inside a loop
    # than outside one, even a loop of one turn.
    scan = steps_per_dispatch > 1 and mesh.devices.flat[0].platform != "cpu"

    def check(batches: PyTree, steps: int) -> None:
        for leaf in jax.tree.leaves(batches):
            if leaf.ndim < 2 or leaf.shape[0] != steps:
                raise UsageError(
                    f"The train step expects arrays [{steps_per_dispatch} (steps_per_dispatch), "
                    f"batch, ...]; the data gave one of shape {leaf.shape}."
                )

    def scanned(state: TrainState, batches: PyTree, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        check(batches, steps_per_dispatch)
        return jax.lax.scan(lambda state, batch: one_step(state, batch, *frozen), state, batches)

    def single(state: TrainState, batches: PyTree, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        check(batches, 1)
        state, metrics = one_step(state, jax.tree.map(lambda leaf: leaf[0], batches), *frozen)
        return state, jax.tree.map(lambda value: value[None], metrics)

    whole = replicated(mesh)
    given = () if frozen is None else (frozen,)
    compiled = jax.jit(
        scanned if scan else single,
        in_shardings=(whole, batch_sharding(mesh, axis=1), *[whole] * len(given)),
        out_shardings=(whole, whole),
        donate_argnums=0,
    )
    if given:
        jitted = compiled

        def compiled(state: TrainState, batches: PyTree) -> tuple[TrainState, Metrics]:
            return jitted(state, batches, *given)

    if scan or steps_per_dispatch == 1:
        return compiled

    def one_after_the_other(state: TrainState, batches: PyTree) -> tuple[TrainState, Metrics]:
        check(batches, steps_per_dispatch)
        history = []
        for number in range(steps_per_dispatch):
            batch = jax.tree.map(lambda leaf, n=number: leaf[n : n + 1], batches)
            state, metrics = compiled(state, batch)
            history.append(metrics)
        return state, jax.tree.map(lambda *values: jnp.concatenate(values), *history)

    return one_after_the_other


def make_eval_step(
    loss_fn: LossFn, mesh: Mesh
) -> Callable[[TrainState, jax.Array, PyTree], Metrics]:
    """A compiled `eval_step(state, key, batch) -> metrics` with the averaged parameters.

    `metrics` are scalars: "loss" and those of `loss_fn`. The same `key` at every evaluation makes
    the values of a run comparable, since they then differ in the parameters alone.

    Args:
        loss_fn: as in `make_train_step`, usually with dropout off.
        mesh: as made by `make_mesh`; `batch` arrays [batch, ...] are split over it.
    """
    checked = _checked(loss_fn)

    def evaluate(params: PyTree, key: jax.Array, batch: PyTree) -> Metrics:
        loss, metrics = checked(params, key, batch)
        return {"loss": loss, **metrics}

    whole = replicated(mesh)
    compiled = jax.jit(
        evaluate, in_shardings=(whole, whole, batch_sharding(mesh)), out_shardings=whole
    )

    def eval_step(state: TrainState, key: jax.Array, batch: PyTree) -> Metrics:
        return compiled(state.ema_params, key, batch)

    return eval_step
