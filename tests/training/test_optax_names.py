"""Optax's optimizers and schedules by their names: all that there are, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde import training
from scoresde.registry import UsageError
from scoresde.training import OPTAX_OPTIMIZERS, OPTAX_SCHEDULES, make_optimizer, make_schedule

from . import toy

NEEDED = {"noisy_sgd": {"key": 0}}
REFUSED = {
    "sophia": "obj_fn must be provided",
    "lbfgs": "missing 2 required keyword-only arguments: 'grad' and 'value_fn'",
    "dpsgd": "needs the option 'l2_norm_clip'",
}
OF_A_NUMBER = ("optimistic_adam", "polyak_sgd", "rprop", "sm3")
QUICK = ("polyak_sgd", "rprop", "sm3", "schedule_free_sgd", "rmsprop")
USED = sorted(OPTAX_OPTIMIZERS.keys() - REFUSED.keys())


def made(name):
    return make_optimizer(name, 1e-2, warmup=0, **NEEDED.get(name, {}))


def test_they_are_all_there():
    assert {"adafactor", "lamb", "rmsprop", "yogi", "lion"} < OPTAX_OPTIMIZERS.keys()
    assert {"prodigy", "schedule_free_adamw", "muon"} < OPTAX_OPTIMIZERS.keys()
    assert OPTAX_OPTIMIZERS["lion"] is optax.lion
    assert {"cosine_decay_schedule", "exponential_decay", "sgdr_schedule"} < OPTAX_SCHEDULES.keys()
    names = {name for name in dir(optax) if name.endswith("_schedule")}
    assert names - {"scale_by_schedule"} <= OPTAX_SCHEDULES.keys()


def loss(params):
    return sum(jnp.sum((leaf - 1) ** 2) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.thorough) for n in USED]
)
def test_two_steps_of_every_optimizer(name):
    """The parameters move, and stay numbers; the state keeps its shape."""
    rule = optax.with_extra_args_support(made(name))
    params = start = {"matrix": jnp.full((4, 3), 1e-2)}  # so small that tiny steps show
    state = before = rule.init(params)

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = rule.update(gradient, state, params, value=value)
        return optax.apply_updates(params, updates), state

    for _ in range(2):
        params, state = step(params, state)
    assert np.isfinite(params["matrix"]).all() and (params["matrix"] != start["matrix"]).all()
    assert jax.tree.structure(state) == jax.tree.structure(before)


def test_every_optimizer_can_be_made():
    """Which tries an update of kernels, matrices and biases, or it is refused."""
    for name in USED:
        assert isinstance(made(name), optax.GradientTransformation), name


def test_an_optimizer_has_optaxs_arguments_and_our_clipping_and_schedule():
    rule = make_optimizer("rmsprop", 0.1, warmup=10, gradient_clip=2.0, decay=0.5, eps=1e-3)
    want = optax.chain(
        optax.clip_by_global_norm(2.0),
        optax.rmsprop(lambda count: 0.1 * jnp.minimum(count / 10, 1.0), decay=0.5, eps=1e-3),
    )
    params = {"w": jnp.asarray([3.0, -4.0])}
    states = rule.init(params), want.init(params)
    for _ in range(3):
        (found, state), (expected, other) = (
            each.update(params, state, params) for each, state in zip((rule, want), states)
        )
        np.testing.assert_allclose(found["w"], expected["w"], rtol=1e-6)
        states = state, other
    assert np.abs(found["w"]).min() > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *[({"name": name}, words) for name, words in REFUSED.items()],
        ({"name": "adafactr"}, "Did you mean 'adafactor'"),
        ({"name": "rmsprop", "decy": 0.9}, "no option 'decy'. Did you mean 'decay'. Its options: "),
        ({"name": "rmsprop", "decay": "a"}, "The optimizer 'rmsprop'"),
        ({"name": "lbfgs", "linesearch": None, "memory_size": 0}, "memory_size"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(options, words):
    with pytest.raises(UsageError) as error:
        make_optimizer(**options)
    assert words.replace("'. I", "'? I") in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", OF_A_NUMBER)
def test_some_take_a_number_as_their_rate(name):
    with pytest.raises(UsageError, match="If it takes no schedule, set warmup=0"):
        make_optimizer(name, 1e-2, warmup=10)


@pytest.mark.parametrize("name", ["prodigy", "dadapt_adamw"])
def test_some_divide_by_their_rate(name):
    """Their parameters were no numbers after the first step of a warm-up."""
    with pytest.raises(UsageError, match=f"{name!r} divides by its learning rate, .* set warmup=0"):
        make_optimizer(name, 1.0, warmup=10)
    make_optimizer(
        name, 1.0, warmup=0, schedule={"name": "cosine_decay_schedule", "decay_steps": 9}
    )


def test_schedules_by_optaxs_names():
    section = {"name": "cosine_decay_schedule", "decay_steps": 100, "alpha": 0.1}
    counts = jnp.asarray([0, 5, 50, 100, 200])
    rate = make_schedule(0.2, schedule=section)
    cosine = np.array([1, 0.5 * (1 + np.cos(0.05 * np.pi)), 0.5, 0, 0])
    np.testing.assert_allclose([rate(n) for n in counts], 0.2 * (0.9 * cosine + 0.1), rtol=1e-5)
    warm = make_schedule(0.2, warmup=10, schedule=section)
    ramp = np.minimum(counts / 10, 1)
    np.testing.assert_allclose(warm(counts), ramp * rate(counts), rtol=1e-6)
    assert make_schedule(0.3, schedule="constant_schedule")(7) == 0.3
    steps = {"name": "piecewise_constant_schedule", "boundaries_and_scales": {"10": 0.5}}
    assert [float(make_schedule(0.5, schedule=steps)(n)) for n in (9, 11)] == [0.5, 0.25]
    peak = {"name": "warmup_constant_schedule", "init_value": 0.0, "warmup_steps": 4}
    assert [float(make_schedule(0.5, schedule=peak)(n)) for n in (2, 4)] == [0.25, 0.5]
    assert make_schedule(0.5, schedule={"name": "constant"})(7) == 0.5  # ours, as a section
    own = {"name": "optax:polynomial_schedule", "init_value": 1.0, "end_value": 0.0, "power": 2}
    own |= {"transition_steps": 10}
    assert make_schedule(9.9, schedule=own)(5) == 0.25


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"name": "cosine_schedule"}, "Did you mean 'cosine_decay_schedule'"),
        ({"decay_steps": 3}, "must be given by name"),
        ({"name": "cosine_decay_schedule"}, "needs the option 'decay_steps'"),
        (
            {"name": "cosine_decay_schedule", "steps": 5},
            "Did you mean 'decay_steps'? Its options: init_value, decay_steps, alpha, exponent.",
        ),
        ({"name": "cosine_decay_schedule", "decay_steps": -1}, "requires positive decay_steps"),
        (
            {"name": "piecewise_constant_schedule", "boundaries_and_scales": {"a": 0.1}},
            "cannot be used like this: invalid literal",
        ),
        (
            {"name": "warmup_constant_schedule", "init_value": 0, "warmup_steps": 9},
            "a warm-up of its own: set warmup=0, which is 5",
        ),
    ],
)
def test_schedules_that_are_wrong_are_refused_in_one_line(schedule, words):
    with pytest.raises(UsageError) as error:
        make_schedule(0.1, warmup=5, schedule=schedule)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    ["adafactor", "schedule_free_sgd", pytest.param("noisy_sgd", marks=pytest.mark.thorough)],
)
def test_states_unlike_the_parameters_are_resumed_to_the_bit(tmp_path, name):
    """Factors of a moment, a copy of the parameters, a random key."""
    options = {"min_dim_size_to_factor": 4} if name == "adafactor" else NEEDED.get(name, {})
    rule = make_optimizer(name, 1e-2, warmup=2, **options)
    mesh, params, loader = training.make_mesh(), toy.make_params(), toy.ToyLoader()
    step = training.make_train_step(toy.loss_fn, rule, mesh, averages=toy.AVERAGES)
    state = training.create_state(jax.random.key(0), params, rule, toy.AVERAGES)
    ours = {leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves(params)}
    leaves = [leaf for leaf in jax.tree.leaves(state.opt_state) if not toy.is_key(leaf)]
    assert not ours & {leaf.unsafe_buffer_pointer() for leaf in leaves}  # or donation loses them
    state = training.place(mesh, state)
    batches = [training.shard_batch(mesh, next(loader), axis=1) for _ in range(3)]
    for batch in batches[:2]:
        state, _ = step(state, batch)
    with training.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, state)
        checkpoints.wait()
        restored, _ = checkpoints.restore(state)
    whole, parts = (toy.arrays(step(each, batches[2])[0]) for each in (state, restored))
    toy.assert_equal(whole, parts)
