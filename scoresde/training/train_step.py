"""The training step: gradient, optimizer and averages, compiled once for one or many devices."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.experimental.layout import Layout, with_layout_constraint
from jax.sharding import Mesh

from scoresde.registry import UsageError
from scoresde.speed.convolutions import TRAINING
from scoresde.speed.graphs import step_options
from scoresde.training.accumulation import accumulated
from scoresde.training.averages import Average
from scoresde.training.loss_fn import LossFn, Metrics, checked
from scoresde.training.mesh import batch_sharding, replicated
from scoresde.training.norms import global_norm
from scoresde.training.optax_names import with_loss
from scoresde.training.packing import is_packed, packed_as, unpacked
from scoresde.training.sharding import Rules, param_shardings, state_shardings
from scoresde.training.state import TrainState
from scoresde.training.update import Found, at_once, one_by_one

PyTree = Any


def make_train_step(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    averages: Mapping[str, Average],
    rules: Rules = (),
    steps_per_dispatch: int = 1,
    accumulate: int = 1,
    frozen: PyTree = None,
    project: Callable[[PyTree], PyTree] | None = None,
    side_by_side: bool = True,
) -> Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]:
    """A compiled `train_step(state, batches) -> (state, metrics)`.

    One call makes `steps_per_dispatch` updates without returning to Python. `batches` are arrays
    [steps_per_dispatch, batch, ...] with the batch axis split over the mesh (`shard_batch` with
    axis=1); `metrics` are float32 arrays [steps_per_dispatch] that stay on the device: "loss",
    "grad_norm" (the global norm before clipping), "param_norm" (that of the updated parameters),
    "skipped" (steps skipped so far) and those of `loss_fn`. The state's memory is donated: the
    argument cannot be used again.

    A step whose loss or gradient is not finite on any device is skipped on all: parameters,
    averages, the optimizer's state and the loss's memory stay as they are, and only the step
    counts, so that the next one has other data and another key. See `scoresde.training.update`.

    It is an ordinary `jax.jit` function: `train_step.lower(state, batches).compile()` compiles it
    ahead of time, for its cost and memory analysis. Give it a state that `place` has put on
    the mesh, as the one it returns is; for one that is not there yet, JAX compiles twice. A state
    that is `packed` comes back as such.

    Args:
        loss_fn: (params, key, batch) -> (scalar loss, dict of scalar metrics), means over the
            batch. Step n is given the key `fold_in(state.key, n)`. If the state has a memory, it is
            given and returned as well, see `scoresde.training.loss_fn`; on several devices it is
            that of the whole batch.
        optimizer: for instance from `make_optimizer`.
        mesh: as made by `make_mesh`.
        averages: those that the state holds, by name: {"ema": EMA(rate=0.9999)}.
        rules: where the state lies on the mesh; see `scoresde.training.sharding`.
        steps_per_dispatch: updates a call. On CPUs they are as many calls of one compiled step.
        accumulate: number of equal parts of a batch whose gradients are averaged, one part at a
            time, to fit a batch that the memory would not hold. An update is still one step: the
            schedule, the averages and all counts mean the same. Each part draws from its own key.
        frozen: what the loss needs and nothing trains, such as another model's parameters. If it is
            given, `loss_fn` gets it as a fourth argument: an argument of the compiled step too,
            where a constant would be compiled into it. The step then has no `lower`.
        project: params -> params, of a network whose parameters are under a constraint: a step
            starts from what it returns, takes the gradient there and moves from there. The state,
            and so the averages, hold what the update made.
        side_by_side: whether kernels may run beside each other where `scoresde.configure()` has it
            so. They need memory then, which recomputation would save in vain: a loss that has some
            should say False. With parts of a batch they never do. A step that has it so cannot be
            called within another `jax.jit`.

    Raises:
        UsageError: a mesh that cannot be used, or at the first call, when the batch does not fit
            these numbers, the state has other averages or a rule does not fit its parameters.
    """
    optimizer = with_loss(optimizer)
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    gradient_fn = jax.value_and_grad(checked(loss_fn), has_aux=True)
    if accumulate > 1:
        gradient_fn = accumulated(gradient_fn, accumulate, mesh)

    def one_step(state: TrainState, batch: PyTree, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        params = unpacked(state.params)
        params = params if project is None else project(params)
        # With rules, the loss is told to have whole parameters: else XLA follows their parts into
        # the activations, and moves those between the devices, which are more.
        gathered = jax.lax.with_sharding_constraint(params, whole) if rules else params
        inputs = gathered, key, batch, state.memory, *frozen
        (loss, (metrics, memory)), gradient = gradient_fn(*inputs)
        if rules:
            parts = param_shardings(mesh, params, rules)
            gradient = jax.lax.with_sharding_constraint(gradient, parts)
        gradient = packed_as(state.params, gradient)
        # Of what rules split, XLA would gather some parts for it.
        gradient = gradient if rules else _row_major(gradient)
        norm = global_norm(gradient)
        start = None if project is None else packed_as(state.params, params)
        found = Found(loss, gradient, norm, start, memory)
        update = one_by_one if on_cpu and is_packed(state.params) else at_once
        state = update(optimizer, averages, state, found)
        state = jax.lax.with_sharding_constraint(state, state_shardings(mesh, state, rules))
        norms = {"grad_norm": norm, "param_norm": global_norm(state.params)}
        metrics = {"loss": loss, **norms, "skipped": state.skipped[0], **metrics}
        return state, jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), metrics)

    # Without `scoresde.configure()`, XLA's CPU backend takes some forty times longer for the weight
    # gradient of a convolution inside a loop than outside one, even a loop of one turn.
    scan = steps_per_dispatch > 1 and not on_cpu

    def check(batches: PyTree, steps: int) -> None:
        for leaf in jax.tree.leaves(batches):
            if leaf.ndim < 2 or leaf.shape[0] != steps:
                raise UsageError(
                    f"The train step expects arrays [{steps_per_dispatch} (steps_per_dispatch), "
                    f"batch, ...]; the data gave one of shape {leaf.shape}. data.Loader(..., "
                    f"steps={steps_per_dispatch}) stacks its batches so."
                )

    def scanned(state: TrainState, batches: PyTree, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        check(batches, steps_per_dispatch)
        return jax.lax.scan(lambda state, batch: one_step(state, batch, *frozen), state, batches)

    def single(state: TrainState, batches: PyTree, *frozen: PyTree) -> tuple[TrainState, Metrics]:
        check(batches, 1)
        state, metrics = one_step(state, jax.tree.map(lambda leaf: leaf[0], batches), *frozen)
        return state, jax.tree.map(lambda value: value[None], metrics)

    program = scanned if scan else single
    program.__name__ = TRAINING  # what it is called in a profile, too
    whole = replicated(mesh)
    given = () if frozen is None else (frozen,)
    compiled = jax.jit(
        program,
        # None: the state stays where `place` and the rules put it.
        in_shardings=(None, batch_sharding(mesh, axis=1), *[whole] * len(given)),
        out_shardings=(None, whole),
        donate_argnums=0,
        compiler_options=step_options(mesh) if side_by_side and accumulate == 1 else {},
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


def _row_major(tree: PyTree) -> PyTree:
    """Arrays as parameters are stored, which on GPUs gradients are not.

    cuDNN gives a weight's gradient with the input channels last. Left to itself XLA makes the whole
    update in that order, of parameters, moments and averages that are transposed there and back.
    """

    def constrained(tree: PyTree) -> PyTree:
        return jax.tree.map(
            lambda leaf: with_layout_constraint(leaf, Layout(tuple(range(leaf.ndim)))), tree
        )

    return jax.lax.platform_dependent(tree, cuda=constrained, default=lambda tree: tree)
