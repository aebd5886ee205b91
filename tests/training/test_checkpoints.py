"""Checkpoints: what is restored, what is kept, and what is said about those that are damaged."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import training
from scoresde.registry import UsageError
from scoresde.training import Checkpoints

from . import toy


def make_state(value=0.0, **options):
    """A state with a different number in every array."""
    state = toy.make_state(**options)
    leaves, structure = jax.tree.flatten(state)
    leaves = [
        leaf
        if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else (leaf + value + i).astype(leaf.dtype)
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, leaves)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A directory with checkpoints 4 and 8; tests copy it before they change it."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    with Checkpoints(directory) as checkpoints:
        checkpoints.save(4, make_state(4.0), {"loader": {"next_index": 40}})
        checkpoints.save(8, make_state(8.0), {"loader": {"next_index": 80}})
    return directory


@pytest.fixture
def copied(saved, tmp_path):
    return Checkpoints(shutil.copytree(saved, tmp_path / "checkpoints"))


def test_the_state_comes_back(saved):
    checkpoints = Checkpoints(saved)
    assert checkpoints.all_steps() == [4, 8]
    assert checkpoints.latest_step() == 8
    for step, (state, extra) in {
        4: checkpoints.restore(make_state(), step=4),
        8: checkpoints.restore(jax.eval_shape(make_state)),  # abstract, and the latest
    }.items():
        want = make_state(float(step))
        toy.assert_equal(toy.arrays(state), toy.arrays(want))
        assert jax.tree.structure(state) == jax.tree.structure(want)
        assert state.key.dtype == want.key.dtype
        assert jax.random.key_data(state.key).tolist() == jax.random.key_data(want.key).tolist()
        assert extra == {"loader": {"next_index": 10 * step}}


def test_the_state_may_be_donated_while_it_is_written(tmp_path):
    state = make_state()
    want = jax.tree.map(np.array, state.params)
    double = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        jax.block_until_ready(double((state.params, state.ema_params)))
    found = Checkpoints(tmp_path).restore_params(ema=False)
    jax.tree.map(np.testing.assert_array_equal, found, want)


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_every_optimizer_state_comes_back(name, tmp_path):
    optimizer = training.make_optimizer(name)
    state = training.create_state(jax.random.key(7, impl="rbg"), toy.make_params(), optimizer)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, state)
        checkpoints.wait()
        found, _ = checkpoints.restore(state)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    toy.assert_equal(toy.arrays(found), toy.arrays(state))
    assert jax.random.key_data(found.key).tolist() == jax.random.key_data(state.key).tolist()


def test_parameters_alone(copied):
    for step, ema, wanted in ((8, True, "ema_params"), (4, False, "params")):
        for item in ("params", "ema_params", "training"):
            if item != wanted:  # they are not even there
                shutil.rmtree(copied.directory / str(step) / item)
        want = getattr(make_state(float(step)), wanted)
        found = copied.restore_params(step, ema=ema)
        assert jax.tree.structure(found) == jax.tree.structure(want)
        jax.tree.map(np.testing.assert_array_equal, found, want)
        found = copied.restore_params(step, ema=ema, abstract_params=toy.make_params())
        jax.tree.map(np.testing.assert_array_equal, found, want)


def test_what_is_kept(tmp_path):
    """The last two, and the first at or after each multiple of 20."""
    state = toy.make_state()
    with Checkpoints(tmp_path, keep=2, keep_every=20) as checkpoints:
        for step in (8, 16, 24, 32, 40, 48, 56, 64, 72):
            checkpoints.save(step, state)
        checkpoints.wait()
        assert checkpoints.all_steps() == [24, 40, 64, 72]


def test_nothing_is_overwritten(copied):
    with pytest.raises(UsageError, match="8 already, and checkpoints are never overwritten"):
        copied.save(8, make_state())
    copied.close()
    state, _ = copied.restore(make_state())
    toy.assert_equal(toy.arrays(state), toy.arrays(make_state(8.0)))


def test_an_unfinished_checkpoint_does_not_count(copied):
    """A killed run leaves a directory under a temporary name, which the next save removes."""
    unfinished = copied.directory / "10.orbax-checkpoint-tmp"
    shutil.copytree(copied.directory / "8", unfinished)
    assert copied.latest_step() == 8
    copied.save(12, make_state(12.0))
    copied.close()
    assert not unfinished.exists()
    toy.assert_equal(toy.arrays(copied.restore(make_state())[0]), toy.arrays(make_state(12.0)))


def largest_file(directory):
    return max((p for p in directory.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [(truncate, "bytes instead of"), (flip_a_bit, "has changed"), ("unlink", "is missing")],
)
@pytest.mark.parametrize("item", ["ema_params", "training", "extra"])
def test_damage_is_found(copied, capfd, damage, words, item):
    path = largest_file(copied.directory / "8" / item)
    path.unlink() if damage == "unlink" else damage(path)
    with pytest.raises(UsageError, match=words) as error:
        copied.restore(make_state())
    message = str(error.value)
    assert f"{copied.directory / '8'} is damaged: {item}/" in message
    assert message.endswith("delete it to go on from an earlier one (4).")
    assert "\n" not in message
    assert capfd.readouterr().err == ""
    shutil.rmtree(copied.directory / "8")  # the remedy works
    toy.assert_equal(toy.arrays(copied.restore(make_state())[0]), toy.arrays(make_state(4.0)))


def test_damage_without_checksums_is_found_as_well(copied):
    (copied.directory / "4" / "checksums.json").unlink()
    truncate(copied.directory / "4" / "params" / "_METADATA")
    with pytest.raises(UsageError, match=r"4 is damaged: .*; delete it and train again"):
        copied.restore(make_state(), step=4)


def test_a_checkpoint_of_something_else(saved):
    checkpoints = Checkpoints(saved)
    wider = training.create_state(jax.random.key(0), toy.make_params(width=8), toy.make_optimizer())
    with pytest.raises(UsageError) as error:
        checkpoints.restore(wider)
    assert str(error.value) == (
        f"The checkpoint {saved / '8'} is of another model or optimiser: in params, "
        "in/bias is float32[16], not float32[8]; in/kernel is float32[4, 16], not float32[4, 8]; "
        "out/kernel is float32[16, 4], not float32[8, 4]. "
        "Use the configuration it was trained with, or another directory."
    )
    other = training.create_state(
        jax.random.key(0), toy.make_params(), training.make_optimizer("sgd")
    )
    with pytest.raises(UsageError, match="in training, it also holds opt_state/"):
        checkpoints.restore(other)
    with pytest.raises(UsageError, match="in ema_params, it lacks a; it also holds in/bias; "):
        checkpoints.restore_params(abstract_params={"a": jnp.ones(3)})


def test_missing_checkpoints(saved, tmp_path):
    with pytest.raises(UsageError, match=r"no checkpoint in .*/nowhere; train first"):
        Checkpoints(tmp_path / "nowhere").restore(make_state())
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UsageError, match=r"no checkpoint .*/5; the steps there: 4, 8\."):
        Checkpoints(saved).restore_params(5)
    with pytest.raises(UsageError, match="must be positive"):
        Checkpoints(tmp_path, keep=0)
