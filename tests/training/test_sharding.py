"""Rules that place a state on a mesh; test_processes.py trains with one on eight devices."""

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from scoresde import training
from scoresde.registry import UsageError

from . import toy

LAST = PartitionSpec(None, "data")


@pytest.fixture(scope="module")
def eight():
    """A mesh of 4 x 2 devices that are not there."""
    return AbstractMesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def split(tree):
    """The paths of what is not whole on every device, with their specs."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): sharding.spec
        for path, sharding in jax.tree_util.tree_leaves_with_path(tree)
        if sharding.spec != PartitionSpec()
    }


def test_the_first_rule_that_is_found_in_a_path_counts(eight):
    rules = [("^out/", PartitionSpec("model")), ("kernel", LAST), ("^out/bias", LAST)]
    assert split(training.param_shardings(eight, toy.make_params(), rules)) == {
        "in/kernel": LAST,
        "out/bias": PartitionSpec("model"),
        "out/kernel": PartitionSpec("model"),
    }


def test_without_rules_everything_is_whole_everywhere(eight):
    assert split(training.state_shardings(eight, jax.eval_shape(toy.make_state))) == {}


# Where each optimizer keeps what it knows of a kernel.
MOMENTS = {
    "adam": ("1/0/mu", "1/0/nu"),
    "adamw": ("1/0/mu", "1/0/nu"),
    "sgd": ("1/0/trace",),
    "lion": ("1/0/mu",),
    "muon": ("1/inner_states/muon/inner_state/0/mu",),
}


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_averages_and_the_optimizer_follow_the_parameters(eight, name):
    options = {"momentum": 0.9} if name == "sgd" else {}

    def state():
        optimizer = training.make_optimizer(name, **options)
        averages = {"ema": training.EMA(rate=0.9), "slow": training.EMA(rate=0.99)}
        return training.create_state(jax.random.key(0), toy.make_params(), optimizer, averages)

    found = split(training.state_shardings(eight, jax.eval_shape(state), [("in/kernel", LAST)]))
    places = ["params", "averages/ema", "averages/slow", *(f"opt_state/{p}" for p in MOMENTS[name])]
    assert found == {f"{place}/in/kernel": LAST for place in places}


def test_what_the_optimizer_keeps_in_another_shape_is_whole(eight):
    """Adafactor's factors of a kernel have the kernel's path, but are vectors."""

    def state():
        optimizer = training.make_optimizer("optax:adafactor", min_dim_size_to_factor=4)
        return training.create_state(jax.random.key(0), toy.make_params(), optimizer, {})

    assert jax.eval_shape(state).opt_state  # it is one that keeps something
    found = split(training.state_shardings(eight, jax.eval_shape(state), [("in/kernel", LAST)]))
    assert found == {"params/in/kernel": LAST}


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (
            [("kernels", LAST)],
            "The rule 'kernels' is found in no parameter's path; one of the 4 is",
        ),
        ([("(", LAST)], r"The rule '\(' is no regular expression: missing \)"),
        ([("bias", LAST)], r"cannot place in/bias of shape \[16\] on .* by .*None, 'data'.*: give"),
        ([("bias", PartitionSpec("pipe"))], "cannot place in/bias"),
        ([("kernel", PartitionSpec("data", "data"))], "cannot place in/kernel"),
        (
            [("out/kernel", PartitionSpec(None, ("data", "model")))],
            r"place out/kernel of .*16, 4",
        ),
    ],
)
def test_rules_that_fit_nothing_are_refused(eight, rules, words):
    with pytest.raises(UsageError, match=words) as error:
        training.param_shardings(eight, toy.make_params(), rules)
    assert "\n" not in str(error.value)


def test_typed_keys_are_placed_too():
    mesh = training.make_mesh()
    tree = training.replicate(mesh, {"key": jax.random.key(3), "x": np.ones(2)})
    assert tree["x"].sharding == training.replicated(mesh)
    assert jax.random.key_data(tree["key"]).tolist() == [0, 3]
    state = training.place(mesh, toy.make_state(seed=3))
    assert jax.random.key_data(state.key).tolist() == [0, 3]
    assert {leaf.sharding for leaf in jax.tree.leaves(state)} == {training.replicated(mesh)}
