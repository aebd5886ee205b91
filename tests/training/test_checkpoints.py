"""Checkpoints: what is restored, what is kept, and what is said about those that are damaged."""

import dataclasses
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
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
        jax.block_until_ready(double((state.params, state.averages)))
    found = Checkpoints(tmp_path).restore_params(average=None)
    jax.tree.map(np.testing.assert_array_equal, found, want)


@pytest.mark.parametrize("name", training.OPTIMIZERS)
def test_every_optimizer_state_comes_back(name, tmp_path):
    optimizer = training.make_optimizer(name)
    state = training.create_state(
        jax.random.key(7, impl="rbg"), toy.make_params(), optimizer, toy.AVERAGES
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, state)
        checkpoints.wait()
        found, _ = checkpoints.restore(state)
    assert jax.tree.structure(found) == jax.tree.structure(state)
    toy.assert_equal(toy.arrays(found), toy.arrays(state))
    assert jax.random.key_data(found.key).tolist() == jax.random.key_data(state.key).tolist()


def test_parameters_are_read_without_the_other_items(copied):
    for step, average, wanted in ((8, "ema", "ema_params"), (4, None, "params")):
        for item in ("params", "ema_params", "training"):
            if item != wanted:  # they are not even there
                shutil.rmtree(copied.directory / str(step) / item)
        want = make_state(float(step)).averaged(average)
        found = copied.restore_params(step, average=average)
        assert jax.tree.structure(found) == jax.tree.structure(want)
        jax.tree.map(np.testing.assert_array_equal, found, want)
        found = copied.restore_params(step, average=average, abstract_params=toy.make_params())
        jax.tree.map(np.testing.assert_array_equal, found, want)


def test_what_is_kept(tmp_path):
    """The last two, and the first at or after each multiple of 20."""
    state = toy.make_state()
    with Checkpoints(tmp_path, keep=2, keep_every=20) as checkpoints:
        for step in (8, 16, 24, 32, 40, 48, 56, 64, 72):
            checkpoints.save(step, state)
        checkpoints.wait()
        assert checkpoints.all_steps() == [24, 40, 64, 72]


def test_a_checkpoint_loses_its_name_before_it_is_deleted(copied, monkeypatch):
    """Or a run that is killed meanwhile leaves half of it; the next one that saves deletes it."""
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed before
        copied.save(12, make_state())
        copied.close()
        assert copied.all_steps() == [8, 12]
        assert (copied.directory / ".deleted" / "4" / "params" / "_METADATA").exists()
    copied.save(16, make_state())
    copied.close()
    assert {path.name for path in copied.directory.iterdir()} == {"12", "16"}


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


def test_only_a_step_is_the_name_of_a_checkpoint(copied):
    """Copies that somebody made beside the checkpoints are neither read nor removed."""
    copies = {"backup_20240501", "8b", "008"}
    for name in copies:
        shutil.copytree(copied.directory / "8", copied.directory / name)
    (copied.directory / "99").write_text("a file")
    assert copied.all_steps() == [4, 8]
    (copied.directory / "99").unlink()
    copied.save(12, make_state(12.0))
    copied.close()
    assert copied.all_steps() == [8, 12]  # two are kept
    assert copies < {path.name for path in copied.directory.iterdir()}


@pytest.fixture(scope="module")
def first_layout(tmp_path_factory):
    """Checkpoint 8 as the first version of this format wrote it, with Orbax alone."""
    directory, state = tmp_path_factory.mktemp("first") / "checkpoints", make_state(8.0)
    (adam, rate) = state.opt_state[1][0], state.opt_state[1][2]
    training_item = {"step": state.step, "key": state.key}
    training_item |= {"opt_state/1/0/count": adam.count, "opt_state/1/2/count": rate.count}
    for moment in ("mu", "nu"):
        for layer in ("in", "out"):
            for leaf in ("kernel", "bias"):
                name = f"opt_state/1/0/{moment}/{layer}/{leaf}"
                training_item[name] = getattr(adam, moment)[layer][leaf]
    with ocp.CheckpointManager(directory) as manager:
        manager.save(
            8,
            args=ocp.args.Composite(
                params=ocp.args.StandardSave(state.params),
                ema_params=ocp.args.StandardSave(state.averages["ema"]),
                training=ocp.args.StandardSave(training_item),
                extra=ocp.args.JsonSave({"format": 1, "extra": {"loader": {"next_index": 80}}}),
            ),
        )
    return directory


def test_the_first_layout_is_read(first_layout):
    """It knows nothing of steps that are skipped: none were."""
    want = dataclasses.replace(make_state(8.0), skipped=jnp.zeros(2, jnp.int32))
    checkpoints = Checkpoints(first_layout)
    state, extra = checkpoints.restore(make_state())
    toy.assert_equal(toy.arrays(state), toy.arrays(want))
    assert extra == {"loader": {"next_index": 80}}
    assert checkpoints.averages() == ["ema"]
    for average in ("ema", None):
        found = checkpoints.restore_params(average=average)
        jax.tree.map(np.testing.assert_array_equal, found, want.averaged(average))


def test_one_average_is_still_written_in_the_first_layout(saved, first_layout):
    """So that the first version reads it too."""

    def arrays(directory):
        return {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in directory.glob("*/_METADATA")
        }

    assert arrays(saved / "8") == arrays(first_layout / "8")
    names = {path.name for path in (saved / "8").iterdir() if path.is_dir()}
    assert names == {path.name for path in (first_layout / "8").iterdir() if path.is_dir()}


def test_an_average_that_is_not_there(saved):
    with pytest.raises(UsageError) as error:
        Checkpoints(saved).restore_params(average="slow")
    assert str(error.value) == (
        f"The checkpoint {saved / '8'} holds no average 'slow'; it holds ema, "
        "and the raw parameters (None)."
    )


@pytest.mark.parametrize("names", [("ema", "slow"), ("slow",), ()])
def test_a_run_of_other_averages_is_not_resumed(saved, names):
    averages = dict.fromkeys(names, training.EMA(rate=0.9))
    with pytest.raises(UsageError) as error:
        Checkpoints(saved).restore(toy.make_state(averages=averages))
    assert str(error.value) == (
        f"The checkpoint {saved / '8'} holds the averages ema, and this run names "
        f"{', '.join(names) or '(none)'}. An average is taken from the first step on: name those "
        "that it holds, or start anew in another directory."
    )


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
    assert "the one before is of step 4: name that step, or let `scoresde train`" in message
    assert "\n" not in message
    assert capfd.readouterr().err == ""
    (line,) = copied.set_aside_damaged()  # the remedy works, and nothing is lost
    aside = copied.directory / "damaged" / "8"
    assert line.startswith(f"The checkpoint {copied.directory / '8'} is damaged ({item}/")
    assert line.endswith(f"it is now {aside}, and the run goes on from step 4.")
    assert copied.all_steps() == [4] and (aside / "params").is_dir()
    toy.assert_equal(toy.arrays(copied.restore(make_state())[0]), toy.arrays(make_state(4.0)))


@pytest.mark.parametrize("checksums", [True, False])
def test_what_is_whole_stays_where_it_is(copied, checksums):
    if not checksums:
        (copied.directory / "8" / "checksums.json").unlink()
    (copied.directory / "4" / "extra" / "metadata").unlink()
    assert copied.set_aside_damaged() == []  # that of step 4 is not gone on from
    assert copied.all_steps() == [4, 8]


def test_without_any_that_is_whole_nothing_is_moved(copied):
    for step in "4", "8":
        flip_a_bit(largest_file(copied.directory / step / "params"))
    assert copied.set_aside_damaged() == []
    assert copied.all_steps() == [4, 8]


def test_damage_takes_more_than_one_and_another_time(copied):
    """Also of a checkpoint that has lost everything, or its record of checksums."""
    shutil.copytree(copied.directory / "8", copied.directory / "12")
    (copied.directory / "16").mkdir()
    (copied.directory / "12" / "checksums.json").write_text("{")
    assert len(copied.set_aside_damaged()) == 2 and copied.all_steps() == [4, 8]
    (copied.directory / "8" / "checksums.json").unlink()
    truncate(largest_file(copied.directory / "8" / "training"))
    copied.save(12, make_state(12.0))  # the name is free again
    copied.close()
    shutil.copytree(copied.directory / "12", copied.directory / "6")
    flip_a_bit(largest_file(copied.directory / "12"))
    assert len(copied.set_aside_damaged()) == 2
    names = {path.name for path in (copied.directory / "damaged").iterdir()}
    assert names == {"8", "12", "12_2", "16"} and copied.all_steps() == [6]


@pytest.mark.parametrize("table", ["[]", '{"params/_METADATA": 3}', '{"params/_METADATA": [3]}'])
def test_a_record_of_checksums_that_is_other_json_is_damaged_too(table, copied):
    (copied.directory / "8" / "checksums.json").write_text(table)
    (line,) = copied.set_aside_damaged()
    assert "(checksums.json cannot be read)" in line and copied.all_steps() == [4]


def test_damage_without_checksums_is_found_as_well(copied):
    (copied.directory / "4" / "checksums.json").unlink()
    truncate(copied.directory / "4" / "params" / "_METADATA")
    with pytest.raises(UsageError, match=r"4 is damaged: .*; delete it and train again"):
        copied.restore(make_state(), step=4)


def test_arrays_of_something_else_are_named(saved):
    checkpoints = Checkpoints(saved)
    with pytest.raises(UsageError) as error:
        checkpoints.restore(toy.make_state(width=8))
    assert str(error.value) == (
        f"The checkpoint {saved / '8'} is of another model or optimizer: in params, "
        "in/bias is float32[16], not float32[8]; in/kernel is float32[4, 16], not float32[4, 8]; "
        "out/kernel is float32[16, 4], not float32[8, 4]. "
        "Use the configuration it was trained with, or another directory."
    )
    other = training.create_state(
        jax.random.key(0), toy.make_params(), training.make_optimizer("sgd"), toy.AVERAGES
    )
    with pytest.raises(UsageError, match="in training, it also holds opt_state/"):
        checkpoints.restore(other)
    with pytest.raises(UsageError, match="in ema_params, it lacks a; it also holds in/bias; "):
        checkpoints.restore_params(abstract_params={"a": jnp.ones(3)})


def test_checkpoints_that_are_not_there(saved, tmp_path):
    with pytest.raises(UsageError, match=r"no checkpoint in .*/nowhere; train first"):
        Checkpoints(tmp_path / "nowhere").restore(make_state())
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(UsageError, match=r"no checkpoint .*/5; the steps there: 4, 8\."):
        Checkpoints(saved).restore_params(5)
    with pytest.raises(UsageError, match="must be positive"):
        Checkpoints(tmp_path, keep=0)
