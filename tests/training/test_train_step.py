"""The compiled step: what it computes, and that it compiles once and reuses memory."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde import training
from scoresde.registry import UsageError

from . import toy

RATE = 0.9


@pytest.fixture(scope="module")
def mesh():
    return training.make_mesh()


def make_step(mesh, loss_fn=toy.loss_fn, **options):
    averages = {"ema": training.EMA(rate=RATE)}
    options = {"averages": averages, **options}
    return training.make_train_step(loss_fn, toy.make_optimizer(), mesh, **options)


@pytest.fixture(scope="module")
def eight_steps(mesh):
    """State and metrics after eight steps, one per dispatch."""
    return toy.dispatch(mesh, make_step(mesh), 8, 1)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_what_is_frozen_reaches_the_loss_and_is_not_trained(mesh, accumulate):
    def scaled(params, key, batch, scale):
        loss, metrics = toy.loss_fn(params, key, batch)
        return scale["loss"] * loss, metrics

    frozen = {"loss": jnp.array(3.0)}
    given = make_step(mesh, scaled, accumulate=accumulate, frozen=frozen)
    closed = make_step(mesh, lambda *inputs: scaled(*inputs, frozen), accumulate=accumulate)
    (given, metrics), (closed, expected) = (
        toy.dispatch(mesh, step, 2, 1) for step in (given, closed)
    )
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-6)
    for leaf, other in zip(jax.tree.leaves(given.params), jax.tree.leaves(closed.params)):
        np.testing.assert_allclose(leaf, other, rtol=1e-5, atol=1e-6)
    assert given.params.keys() == toy.make_params().keys()


def test_the_step_is_what_it_says(eight_steps):
    """Against the same eight steps written out."""
    state, metrics = eight_steps
    optimizer = toy.make_optimizer()
    params = average = toy.make_params()
    opt_state = optimizer.init(params)
    loader = toy.ToyLoader()

    @jax.jit
    def step(n, params, opt_state, batch):
        key = jax.random.fold_in(jax.random.key(0), n)
        (loss, _), gradient = jax.value_and_grad(toy.loss_fn, has_aux=True)(params, key, batch)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(gradient)))
        return loss, norm, optax.apply_updates(params, updates), opt_state

    for n in range(8):
        batch = {"image": next(loader)["image"][0]}
        loss, norm, params, opt_state = step(n, params, opt_state, batch)
        average = jax.tree.map(lambda a, p: RATE * a + (1 - RATE) * p, average, params)
        np.testing.assert_allclose(metrics["loss"][n], loss, rtol=1e-5)
        np.testing.assert_allclose(metrics["grad_norm"][n], norm, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.params, params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.averages["ema"], average
    )
    assert int(state.step) == 8
    assert jax.random.key_data(state.key).tolist() == [0, 0]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_step_that_is_not_finite_changes_nothing(mesh, accumulate, broken):
    """Bit for bit, the memory of the loss too; the step after it is as from a state of its own."""

    def loss_fn(params, key, batch, memory):
        if broken == "loss":
            return toy.remembering(params, key, batch, memory)
        bad = jnp.isnan(batch["image"]).any()
        batch = jax.tree.map(jnp.nan_to_num, batch)
        loss, metrics, memory = toy.remembering(params, key, batch, memory)
        total = jnp.sum(params["in"]["bias"])
        steep = jnp.where(bad, 1e30, 0.0)  # its square overflows
        return loss + steep * (total - jax.lax.stop_gradient(total)), metrics, memory

    step = make_step(mesh, loss_fn, accumulate=accumulate)
    memory = toy.MEMORY | {"errors": np.zeros(toy.BATCH_SIZE // accumulate, np.float32)}
    state, loader = toy.make_state(memory=memory), toy.ToyLoader(bad_steps={3})
    states = []
    for _ in range(4):
        batches = training.shard_batch(mesh, next(loader), axis=1)
        state, metrics = step(training.place(mesh, state), batches)
        states.append((toy.arrays(state), {k: v.item() for k, v in metrics.items()}))
        if len(states) == 3:
            after = jax.tree.map(jnp.copy, state)
            resumed = dataclasses.replace(after, skipped=jnp.zeros_like(after.skipped))
    (second, _), (third, bad), (fourth, good) = states[1:]
    assert np.isnan(bad["loss"]) == (broken == "loss") and not np.isfinite(bad["grad_norm"])
    assert bad["skipped"] == good["skipped"] == 1 and np.isfinite(good["loss"])
    assert third.pop("['step']") == 3 and second.pop("['step']") == 2
    assert third.pop("['skipped']").tolist() == [1, 1]
    assert second.pop("['skipped']").tolist() == [0, 0]
    toy.assert_equal(third, second)
    assert fourth.pop("['skipped']").tolist() == [1, 0]
    state, _ = step(training.place(mesh, resumed), batches)
    alone = toy.arrays(state)
    assert alone.pop("['skipped']").tolist() == [0, 0]
    toy.assert_equal(alone, fourth)


def test_steps_per_dispatch_do_not_matter(mesh, eight_steps):
    state, metrics = toy.dispatch(mesh, make_step(mesh, steps_per_dispatch=4), 2, 4)
    toy.assert_equal(toy.arrays(state), toy.arrays(eight_steps[0]))
    toy.assert_equal(metrics, eight_steps[1])


def test_it_is_traced_once_and_stays_on_the_device(mesh):
    traces = []

    def counting(params, key, batch):
        traces.append(1)
        return toy.loss_fn(params, key, batch)

    train_step = make_step(mesh, counting, steps_per_dispatch=2)
    state, loader = training.place(mesh, toy.make_state()), toy.ToyLoader(2)
    for _ in range(3):
        state, metrics = train_step(state, training.shard_batch(mesh, next(loader), axis=1))
    assert len(traces) == 1
    assert isinstance(metrics["loss"], jax.Array)
    assert metrics["loss"].shape == metrics["grad_norm"].shape == metrics["worst"].shape == (2,)
    assert metrics["skipped"].tolist() == [0, 0]
    assert metrics["loss"].dtype == jnp.float32


def test_the_state_is_donated(mesh):
    train_step = make_step(mesh)
    params = toy.make_params()
    key = jax.random.key(0)
    state = training.create_state(key, params, toy.make_optimizer(), toy.AVERAGES)
    state = training.place(mesh, state)
    before = jax.tree.leaves((state.params, state.averages, state.opt_state))
    pointers = {leaf.unsafe_buffer_pointer() for leaf in before}
    batches = training.shard_batch(mesh, next(toy.ToyLoader()), axis=1)
    after, _ = train_step(state, batches)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state))
    after = jax.tree.leaves((after.params, after.averages, after.opt_state))
    assert {leaf.unsafe_buffer_pointer() for leaf in after} == pointers
    for leaf in jax.tree.leaves((key, params)):  # the caller's own
        assert not leaf.is_deleted()


def test_ahead_of_time_compilation(mesh):
    train_step = make_step(mesh)
    state, batches = toy.make_state(), next(toy.ToyLoader())
    compiled = train_step.lower(state, batches).compile()
    assert compiled.cost_analysis()["flops"] > 0
    _, metrics = compiled(state, training.shard_batch(mesh, batches, axis=1))
    assert np.isfinite(metrics["loss"]).all()


def test_a_state_leaves_the_step_as_the_rules_say(mesh):
    lowered = make_step(mesh, rules=toy.SPLIT).lower(toy.make_state(), next(toy.ToyLoader()))
    split = re.findall(r'sharding_constraint .*{"data"}.* : (.*)', lowered.as_text())
    # A gradient, a parameter, its average and two moments; the spec is that of the last axis.
    assert split == ["tensor<4x16xf32>"] * 5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps_per_dispatch": 3}, r"expects arrays \[3 \(steps_per_dispatch\), batch"),
        ({"steps_per_dispatch": 2, "accumulate": 3}, r"16 cannot be split .* 3 accumulated parts"),
        ({"steps_per_dispatch": 2, "averages": {}}, r"holds the averages ema, .* updates \(none\)"),
    ],
)
def test_what_does_not_fit_the_step_is_refused(mesh, options, words):
    with pytest.raises(UsageError, match=words):
        make_step(mesh, **options)(toy.make_state(), next(toy.ToyLoader(2)))


def test_a_metric_must_not_have_a_name_of_the_step(mesh):
    def shadowing(params, key, batch):
        loss, _ = toy.loss_fn(params, key, batch)
        return loss, {"grad_norm": loss}

    with pytest.raises(UsageError, match="reports a metric called 'grad_norm'"):
        make_step(mesh, shadowing)(toy.make_state(), next(toy.ToyLoader()))


def test_a_loss_with_a_memory_answers_with_it(mesh):
    state = toy.make_state(memory=toy.MEMORY)
    with pytest.raises(UsageError, match=r"returns 2 values; .* with a memory in the state"):
        make_step(mesh, lambda *inputs, memory: toy.loss_fn(*inputs))(state, next(toy.ToyLoader()))


def test_a_state_is_shown_in_a_line():
    params = {"a": np.ones((300, 2), np.float32), "b": np.ones(5, np.float32)}
    key, averages = jax.random.key(0), {"ema": training.EMA(rate=0.9)}
    state = training.create_state(key, params, optax.adam(1e-3), averages)
    assert repr(state) == "TrainState(step 0, 605 parameters, averages ema)"
    assert "605 parameters" in repr(jax.eval_shape(lambda state: state, state))


def test_a_step_starts_from_the_projection_and_keeps_what_it_made(mesh):
    """Against two steps written out; the state is not projected again."""

    def halved(params):
        return jax.tree.map(lambda leaf: 0.5 * leaf, params)

    state, metrics = toy.dispatch(mesh, make_step(mesh, project=halved), 2, 1)
    optimizer, params = toy.make_optimizer(), toy.make_params()
    average, opt_state, loader = params, optimizer.init(params), toy.ToyLoader()
    for step in range(2):
        batch = {"image": next(loader)["image"][0]}
        params = halved(params)
        key = jax.random.fold_in(jax.random.key(0), step)
        (loss, _), gradient = jax.value_and_grad(toy.loss_fn, has_aux=True)(params, key, batch)
        np.testing.assert_allclose(metrics["loss"][step], loss, rtol=1e-5)
        updates, opt_state = optimizer.update(gradient, opt_state, params)
        params = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda a, p: RATE * a + (1 - RATE) * p, average, params)
    for found, wanted in ((state.params, params), (state.averages["ema"], average)):
        for leaf, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(leaf, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("split", [False, True])
def test_updates_on_gpus_are_in_the_order_that_parameters_are_stored_in(mesh, split):
    """cuDNN gives gradients in another one, which XLA would take for the whole update."""
    step = make_step(mesh, rules=toy.SPLIT if split else ())
    trace = step.trace(toy.make_state(), next(toy.ToyLoader()))
    found = {
        platform: trace.lower(lowering_platforms=(platform,)).as_text().count("@LayoutConstraint")
        for platform in ("cpu", "cuda")
    }
    assert found == {"cpu": 0, "cuda": 0 if split else len(jax.tree.leaves(toy.make_params()))}
