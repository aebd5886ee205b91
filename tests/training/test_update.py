"""A step's changes: one by one what they are at once, or none of them."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde import training
from scoresde.training import train_step, update
from scoresde.training.norms import clip_by_global_norm, global_norm
from scoresde.training.optax_names import with_loss

from . import toy

AVERAGES = {"ema": training.EMA(rate=0.9), "power": training.PowerEMA(length=0.1)}


def remembering():
    """An optimizer whose state and update depend on where the gradient is taken."""

    def update(gradient, state, params=None, **_):
        after = jax.tree.map(lambda old, p, g: old / 2 + p - g, state, params, gradient)
        return jax.tree.map(lambda old: -old / 4, state), after

    return optax.GradientTransformationExtraArgs(lambda params: params, update)


def by_the_loss():
    """An optimizer that takes the loss, and nothing else that a step might give it."""

    def update(gradient, state, params=None, *, value):
        return jax.tree.map(lambda leaf: -leaf / (1 + value), gradient), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


OPTIMIZERS = {
    "remembering": remembering(),
    "by the loss": by_the_loss(),
    "clipped later": optax.chain(optax.scale_by_adam(), clip_by_global_norm(1.5), optax.scale(-1)),
    "scaled first": optax.chain(optax.scale(1e-3), clip_by_global_norm(1e-4), optax.sgd(1e3)),
    "adam": optax.adam(0.1),
    "adamw": optax.adamw(0.1, weight_decay=0.3),
    "sgd": optax.sgd(0.1, momentum=0.9),
    "lion": optax.lion(0.1),
}


def two_steps(change, name, broken=None, elsewhere=False):
    """The states after each of two steps, the second of which may be broken."""
    optimizer = with_loss(optax.chain(clip_by_global_norm(0.5), OPTIMIZERS[name]))
    changed = jax.jit(functools.partial(change, optimizer, AVERAGES))
    keys = jax.random.split(jax.random.key(1), 3)
    params = {"kernel": jax.random.normal(keys[0], (4, 3)), "bias": jnp.arange(5.0)}
    state = training.create_state(keys[0], params, optimizer, AVERAGES, memory=jnp.zeros(2))
    states = []
    for number, key in enumerate(keys[1:]):
        gradient = jax.tree.map(lambda leaf, key=key: jax.random.normal(key, leaf.shape), params)
        loss = jnp.float32(number)
        if number and broken == "loss":
            loss = jnp.float32(jnp.nan)
        if number and broken == "gradient":
            gradient["bias"] = gradient["bias"].at[2].set(jnp.inf)
        start = jax.tree.map(lambda leaf: leaf / 2, state.params) if elsewhere else None
        memory = state.memory + number + 1
        found = update.Found(loss, gradient, global_norm(gradient), start, memory)
        state = changed(state, found)
        states.append(state)
    return states


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_by_one_they_are_what_they_are_at_once(name, elsewhere):
    expected = two_steps(update.at_once, name, elsewhere=elsewhere)
    found = two_steps(update.one_by_one, name, elsewhere=elsewhere)
    for one, other in zip(found, expected):
        assert toy.arrays(one).keys() == toy.arrays(other).keys()
        for where, array in toy.arrays(one).items():
            np.testing.assert_allclose(array, toy.arrays(other)[where], 1e-6, 1e-7, err_msg=where)


@pytest.mark.parametrize("change", [update.at_once, update.one_by_one])
@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_broken_step_is_counted_and_changes_nothing(change, broken):
    sound, after = two_steps(change, "adam", broken)
    assert sound.skipped.tolist() == [0, 0] and after.skipped.tolist() == [1, 1]
    assert (sound.step, after.step) == (1, 2)
    for name in ("params", "averages", "opt_state", "memory"):
        pairs = (jax.tree.leaves(getattr(state, name)) for state in (after, sound))
        for kept, before in zip(*pairs, strict=True):
            np.testing.assert_array_equal(kept, before)


def test_on_cpus_a_packed_state_is_changed_where_it_is():
    """XLA does not see what the loops are for, and copies none of its arrays, as it does else."""
    optimizer = optax.chain(clip_by_global_norm(1.0), optax.adam(0.1))
    params = {"kernel": jnp.ones((512, 512)), "bias": jnp.ones(8), "other": jnp.ones(8)}

    def loss_fn(params, key, batch):
        y = batch["x"] @ params["kernel"] + params["bias"].sum() + params["other"].sum()
        return jnp.square(y).mean(), {}

    averages, mesh = {"ema": training.EMA(rate=0.9)}, training.make_mesh(jax.devices()[:1])
    batch = {"x": jax.ShapeDtypeStruct((1, 8, 512), jnp.float32)}
    step = train_step.make_train_step(loss_fn, optimizer, mesh, averages=averages)
    copied = []
    for pack in (training.packed, lambda state: state):
        state = pack(training.create_state(jax.random.key(0), params, optimizer, averages))
        program = step.lower(training.place(mesh, state), batch).compile().as_text()
        copied.append(len(re.findall(r"f32\[512,512\]\S* copy\(%state_", program)))
    assert copied[0] == 0 < copied[1]
