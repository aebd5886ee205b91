"""Small parameters in one array: the same run, and the same checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde import training
from scoresde.training.packing import Packed, state_packed_as
from scoresde.training.train_step import make_train_step

from . import toy

LARGEST = 16  # the toy's kernels have 64 numbers, and its biases 16 and 4
AVERAGES = {"ema": training.EMA(rate=0.9), "power": training.PowerEMA(length=0.1)}


class Newest:
    """An average of parameters of any type."""

    def init(self, params):
        return params

    def update(self, state, params, step):
        return params


def make_state(optimizer=None):
    return toy.make_state(averages=AVERAGES, optimizer=optimizer)


def test_what_is_packed_comes_back_as_it_was():
    params = {
        "scalar": jnp.float32(3.0),
        "vector": jnp.arange(1090.0),
        "kernel": jnp.arange(1200.0).reshape(4, 10, 30),
        "count": jnp.arange(3),
        "half": jnp.arange(3, dtype=jnp.bfloat16),
        "list": [jnp.arange(16.0).reshape(2, 8), jnp.zeros((0, 2))],
    }
    averages = {"one": Newest(), "other": Newest()}  # EMA would lose its steps in 16 bits
    state = training.create_state(jax.random.key(0), params, toy.make_optimizer(), averages)
    found = training.packed(state, 1090)
    assert found.params.rows.shape == (1, 1024) and found.params.rest.shape == (83,)
    assert [leaf.shape for leaf in found.params.large] == [(3,), (3,), (4, 10, 30)]
    # Parameters, two averages and two moments have two arrays fewer each.
    assert len(jax.tree.leaves(found)) == len(jax.tree.leaves(state)) - 10
    assert repr(found) == repr(state)  # as many parameters
    again = training.unpacked(found)
    assert jax.tree.structure(again) == jax.tree.structure(state)
    toy.assert_equal(toy.arrays(again), toy.arrays(state))
    assert again.params["kernel"] is state.params["kernel"]  # not copied
    once_more = state_packed_as(found, again)
    jax.tree.map(np.testing.assert_array_equal, once_more.params, found.params)
    assert jax.tree.structure(once_more) == jax.tree.structure(found)
    assert state_packed_as(state, again) is again


def test_there_may_be_nothing_to_pack():
    state = make_state()
    assert training.packed(state, 1) is state
    once = training.packed(state)
    assert once is not state and training.packed(once) is once
    assert training.unpacked(state).params.keys() == state.params.keys()


def shrink(params):
    return jax.tree.map(lambda leaf: 0.99 * leaf, params)


@pytest.mark.parametrize(
    "name, options",
    [
        *((name, {}) for name in training.ELEMENTWISE),
        ("adam", {"accumulate": 2}),
        ("adam", {"project": shrink}),
        ("adam", {"eps": 0.0}),  # which divides 0 by 0 where nothing is
    ],
)
def test_a_step_is_the_same(name, options):
    """To float tolerance: the norm that clips is summed in another order."""
    rule = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {"weight_decay": 0.1}
    rule |= {key: options[key] for key in options if key == "eps"}
    options = {key: value for key, value in options.items() if key != "eps"}
    optimizer = training.make_optimizer(name, 1e-2, warmup=3, gradient_clip=0.5, **rule)
    mesh = training.make_mesh()
    step = make_train_step(toy.loss_fn, optimizer, mesh, averages=AVERAGES, **options)
    states, metrics = [], []
    for pack in (False, True):
        state = make_state(optimizer)
        state, loader = training.packed(state, LARGEST) if pack else state, toy.ToyLoader()
        state = training.place(mesh, state)
        for _ in range(4):
            state, found = step(state, next(loader))
        assert isinstance(state.params, Packed) == pack
        states.append(toy.arrays(training.unpacked(state)))
        metrics.append(found)
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        np.testing.assert_allclose(states[1][key], value, rtol=1e-5, atol=1e-6, err_msg=key)
    for key, value in metrics[0].items():
        np.testing.assert_allclose(metrics[1][key], value, rtol=1e-5, err_msg=key)


@pytest.mark.parametrize("platform, largest", [("cpu", 2**17), ("gpu", 2**15), ("tpu", 2**15)])
def test_how_large_an_array_is_packed_is_a_matter_of_the_platform(monkeypatch, platform, largest):
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    params = {name: jnp.zeros(largest + more) for more, name in enumerate(("one", "more"))}
    params["two"] = jnp.zeros(2)
    state = training.create_state(jax.random.key(0), params, optax.sgd(1.0), {})
    packed = training.packed(state)
    assert [leaf.size for leaf in packed.params.large] == [largest + 1]


def test_what_the_loss_remembers_is_not_packed():
    params = toy.make_params()
    state = training.create_state(
        jax.random.key(0), params, toy.make_optimizer(), AVERAGES, {"teacher": params}
    )
    found = training.packed(state, LARGEST)
    assert found.memory["teacher"].keys() == params.keys()
    assert state_packed_as(found, state).memory["teacher"].keys() == params.keys()


def test_a_packed_state_is_saved_and_evaluated_as_any_other(tmp_path):
    state = make_state()
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, training.packed(state, LARGEST))
    again, _ = training.Checkpoints(tmp_path).restore(state)
    toy.assert_equal(toy.arrays(again), toy.arrays(state))
    assert toy.eval_loss(training.packed(state, LARGEST)) == toy.eval_loss(state)


def run(workdir, num_steps, pack=True, **options):
    mesh, optimizer = training.make_mesh(), toy.make_optimizer()
    state = make_state(optimizer)
    return training.train(
        training.packed(state, LARGEST) if pack else state,
        make_train_step(toy.loss_fn, optimizer, mesh, averages=AVERAGES),
        toy.ToyLoader(),
        mesh=mesh,
        workdir=workdir,
        num_steps=num_steps,
        log_every=3,
        checkpoint_every=10,
        **options,
    )


def test_a_run_and_its_checkpoints_are_as_without(tmp_path):
    seen = []
    callbacks = [(10, lambda step, state: seen.append(jax.tree.structure(state.params)))]
    whole = run(tmp_path / "whole", 20, callbacks=callbacks)
    plain = run(tmp_path / "plain", 20, pack=False, callbacks=callbacks)
    assert len(seen) == 4 and len(set(seen)) == 1
    assert jax.tree.structure(whole) == jax.tree.structure(plain)
    for key, value in toy.arrays(plain).items():
        np.testing.assert_allclose(toy.arrays(whole)[key], value, rtol=1e-4, atol=1e-6)

    run(tmp_path / "parts", 10)
    toy.assert_equal(toy.arrays(run(tmp_path / "parts", 20)), toy.arrays(whole))
    assert toy.log_text(tmp_path / "parts") == toy.log_text(tmp_path / "whole")

    # Each goes on from the other's checkpoint.
    run(tmp_path / "mixed", 10, pack=False)
    mixed = toy.arrays(run(tmp_path / "mixed", 20))
    for key, value in toy.arrays(plain).items():
        np.testing.assert_allclose(mixed[key], value, rtol=1e-4, atol=1e-6)
    saved = training.Checkpoints(tmp_path / "whole" / "checkpoints").restore_params()
    assert saved.keys() == plain.params.keys()
