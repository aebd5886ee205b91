"""The loop, in this process; test_processes.py kills it."""

import io
import os
import signal

import jax
import numpy as np
import pytest
from covering import covering
from jax.sharding import PartitionSpec

from scoresde import data, training
from scoresde.registry import UsageError
from scoresde.training import lock, read_log
from scoresde.training.loop import train
from scoresde.training.progress import TrainingProgress

from . import toy


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Thirty steps without an interruption: (directory, final arrays)."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, toy.arrays(toy.run(workdir, 30))


def test_a_run_leaves_what_it_promises(whole, capfd):
    workdir, final = whole
    assert final["['step']"] == 30
    rows = read_log(workdir)
    assert [row["step"] for row in rows] == list(range(3, 31, 3))
    assert rows[0].keys() == {"step", "loss", "grad_norm", "param_norm", "worst", "skipped"}
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert training.Checkpoints(workdir / "checkpoints").all_steps() == [20, 30]
    assert (workdir / "loss.png").exists()
    assert len(list((workdir / "tensorboard").iterdir())) == 1


def test_steps_per_dispatch_change_neither_result_nor_log(whole, tmp_path):
    """Three divides neither 10 nor 4, five divides 30: the run ends where the others end."""
    state = toy.run(tmp_path, 30, steps=5, log_every=3)
    toy.assert_equal(toy.arrays(state), whole[1])
    assert toy.log_text(tmp_path) == toy.log_text(whole[0])


def test_things_happen_at_the_first_dispatch_that_reaches_them(tmp_path):
    calls = []
    callbacks = [
        (4, lambda step, state: calls.append(("a", step, int(state.step)))),
        (10, lambda step, state: calls.append(("b", step)) or {"eval_loss": float(step)}),
    ]
    toy.run(tmp_path, 20, steps=3, log_every=5, callbacks=callbacks, keep=None)
    # Dispatches end at 3, 6, ..., 21.
    assert calls == [
        ("a", 6, 6),
        ("a", 9, 9),
        ("a", 12, 12),
        ("b", 12),
        ("a", 18, 18),
        ("a", 21, 21),
        ("b", 21),
    ]
    assert training.Checkpoints(tmp_path / "checkpoints").all_steps() == [12, 21]
    rows = {row["step"]: row for row in read_log(tmp_path)}
    assert list(rows) == [5, 10, 12, 15, 20, 21]
    assert rows[12] == {"step": 12, "eval_loss": 12.0}


@pytest.mark.parametrize("number", covering([signal.SIGTERM, signal.SIGINT], [signal.SIGTERM]))
def test_a_signal_saves_and_a_rerun_resumes_exactly(whole, tmp_path, capfd, number):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def interrupt(step, state):
        if step == 14:
            os.kill(os.getpid(), number)

    state = toy.run(tmp_path, 30, callbacks=[(1, interrupt)])
    assert int(state.step) == 14  # neither a multiple of log_every nor of checkpoint_every
    assert training.Checkpoints(tmp_path / "checkpoints").latest_step() == 14
    message = capfd.readouterr().err
    assert f"Stopped by {number.name} at step 14 of 30" in message
    assert "Started again as it was, the run goes on" in message
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before

    state = toy.run(tmp_path, 30)
    assert f"Resuming from {tmp_path / 'checkpoints' / '14'}" in capfd.readouterr().err
    toy.assert_equal(toy.arrays(state), whole[1])
    assert toy.log_text(tmp_path) == toy.log_text(whole[0])


def test_a_second_signal_is_not_waited_for(tmp_path):
    def interrupt(step, state):
        signal.raise_signal(signal.SIGINT)  # os.kill's may be delivered as one, by another thread
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path, 30, callbacks=[(4, interrupt)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_can_be_prolonged_and_rerun(whole, tmp_path):
    toy.run(tmp_path, 20)
    state = toy.run(tmp_path, 30)
    toy.assert_equal(toy.arrays(state), whole[1])
    assert toy.log_text(tmp_path) == toy.log_text(whole[0])
    state = toy.run(tmp_path, 30)  # nothing left to do
    toy.assert_equal(toy.arrays(state), whole[1])
    assert toy.log_text(tmp_path) == toy.log_text(whole[0])


def test_what_a_loss_remembers_is_resumed_to_the_bit(whole, tmp_path):
    parts, apart = tmp_path / "parts", tmp_path / "apart"
    toy.run(parts, 10, memory=toy.MEMORY)
    state = toy.run(parts, 20, memory=toy.MEMORY)
    toy.assert_equal(toy.arrays(state), toy.arrays(toy.run(apart, 20, memory=toy.MEMORY)))
    assert toy.log_text(parts) == toy.log_text(apart) != toy.log_text(whole[0])
    assert int(state.memory["seen"]) == 20 and np.ptp(state.memory["errors"]) > 0
    with pytest.raises(UsageError, match="is of another model or optimizer"):
        toy.run(parts, 30)  # nothing of it is forgotten


@pytest.mark.parametrize("steps", [1, 4])
def test_a_loss_that_is_not_finite_stops_the_run(whole, tmp_path, steps):
    with pytest.raises(
        UsageError, match=r"The loss is not finite at step 23\. .* resume from"
    ) as error:
        options = {"steps": steps, "bad_steps": {23}, "max_skipped_in_a_row": 0}
        toy.run(tmp_path, 40, log_every=3, checkpoint_every=8, **options)
    assert "\n" not in str(error.value)
    checkpoints = training.Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.all_steps() == [8, 16]
    params = checkpoints.restore_params()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    assert [row["step"] for row in read_log(tmp_path)] == [3, 6, 9, 12, 15, 18, 21]


def test_no_checkpoint_is_made_of_a_broken_state(tmp_path):
    """Every step saves, and the step that broke would too: it is looked at first."""
    with pytest.raises(UsageError, match="at step 5"):
        toy.run(tmp_path, 8, bad_steps={5}, checkpoint_every=1, max_skipped_in_a_row=0)
    assert training.Checkpoints(tmp_path / "checkpoints").latest_step() == 4


@pytest.mark.parametrize("steps", [1, 4])
def test_steps_that_are_not_finite_are_skipped_counted_and_said(tmp_path, capfd, steps):
    options = {"bad_steps": {5, 6, 12}, "log_every": 3, "checkpoint_every": 6}
    options["learning_rate"] = float  # the number of updates made before
    state = toy.run(tmp_path, 16, steps=steps, max_skipped_in_a_row=2, **options)
    assert state.skipped.tolist() == [3, 0] and int(state.step) == 16
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert [line for line in capfd.readouterr().err.splitlines() if "Skipped" in line] == [
        "Skipped step 5, whose loss is not finite: 1 in all, 1 in a row of at most 2.",
        "Skipped step 6, whose loss is not finite: 2 in all, 2 in a row of at most 2.",
        "Skipped step 12, whose loss is not finite: 3 in all, 1 in a row of at most 2.",
    ]
    rows = {row["step"]: row for row in read_log(tmp_path)}
    assert [row["skipped"] for row in rows.values()] == [0, 2, 2, 3, 3]
    assert rows[6].keys() == {"step", "skipped", "param_norm"}  # JSON has no NaN
    assert [row.get("learning_rate") for row in rows.values()] == [2.0, None, 6.0, None, 11.0]
    assert (tmp_path / "loss.png").exists()


def test_a_run_stopped_in_a_row_of_skips_goes_on_counting(tmp_path):
    options = {"bad_steps": {8, 9, 10, 11}, "log_every": 1}
    toy.run(tmp_path / "parts", 10, **options)
    before = training.Checkpoints(tmp_path / "parts" / "checkpoints").restore_params(average=None)
    with pytest.raises(UsageError) as error:
        toy.run(tmp_path / "parts", 20, max_skipped_in_a_row=3, **options)
    assert str(error.value).startswith(
        "The loss is not finite at step 11, nor at the 3 before it, which were skipped. Lower the "
    )
    checkpoints = training.Checkpoints(tmp_path / "parts" / "checkpoints")
    assert checkpoints.all_steps() == [10]  # the last good state is intact
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore_params(average=None), before)
    parts = toy.run(tmp_path / "parts", 20, max_skipped_in_a_row=4, **options)
    whole = toy.run(tmp_path / "whole", 20, **options)
    toy.assert_equal(toy.arrays(parts), toy.arrays(whole))
    assert toy.log_text(tmp_path / "parts") == toy.log_text(tmp_path / "whole")


@pytest.mark.parametrize(
    "broken, metrics",
    [
        ("loss", {"loss": np.full(1, np.nan), "grad_norm": np.zeros(1)}),
        ("gradient", {"loss": np.zeros(1), "grad_norm": np.full(1, np.inf)}),
        ("loss", {"loss": np.full(1, np.nan)}),
    ],
)
def test_a_step_of_ones_own_that_skips_nothing_stops_at_the_first(tmp_path, broken, metrics):
    def train_step(state, batches):
        return state, metrics

    options = {"mesh": training.make_mesh(), "workdir": tmp_path, "num_steps": 4}
    with pytest.raises(UsageError, match=f"{broken} is not finite at step 1\\. Lower"):
        train(toy.make_state(), train_step, toy.ToyLoader(), **options)


def test_the_real_loader_resumes_in_the_middle_of_an_epoch(tmp_path):
    rng = np.random.default_rng(0)
    split = data.Split(rng.integers(0, 256, (50, 2, 2, 1), dtype=np.uint8))
    mesh = training.make_mesh()

    def loss_fn(params, key, batch):
        x = (batch["image"] / 127.5 - 1.0).reshape(-1, toy.DIMENSION)
        return toy.loss_fn(params, key, {"image": x})

    train_step = training.make_train_step(
        loss_fn, toy.make_optimizer(), mesh, averages=toy.AVERAGES, steps_per_dispatch=2
    )

    def run(workdir, num_steps):
        loader = data.Loader(split, 8, seed=1, flip=True, steps=2)
        options = {"workdir": workdir, "num_steps": num_steps, "log_every": 1}
        return train(toy.make_state(), train_step, loader, mesh=mesh, **options)

    run(tmp_path / "parts", 10)
    parts, whole = run(tmp_path / "parts", 20), run(tmp_path / "whole", 20)
    toy.assert_equal(toy.arrays(parts), toy.arrays(whole))
    assert toy.log_text(tmp_path / "parts") == toy.log_text(tmp_path / "whole")


def test_a_run_killed_before_its_first_checkpoint_starts_again(tmp_path):
    for _ in range(2):
        with pytest.raises(AssertionError, match="compute was spent"):  # as good as a kill
            run_with(tmp_path)
    assert (tmp_path / "metrics.jsonl").exists()


def test_two_runs_do_not_share_a_directory(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with (
        lock.exclusive(tmp_path / "checkpoints"),
        pytest.raises(UsageError, match="Another process is training in"),
    ):
        run_with(tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()
    with lock.exclusive(tmp_path / "checkpoints"):  # it is free again
        pass


class Ending(toy.ToyLoader):
    """Data for two dispatches."""

    def __next__(self):
        if self.position == 2:
            raise StopIteration
        return super().__next__()


def run_with(workdir, loader=None, **options):
    def train_step(state, batches):
        raise AssertionError("compute was spent before the mistake was found")

    options = {"num_steps": 4, "mesh": training.make_mesh(), **options}
    train(toy.make_state(), train_step, loader or toy.ToyLoader(), workdir=workdir, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"num_steps": 0}, "num_steps must be at least 1, not 0"),
        ({"log_every": 0}, "log_every must be at least 1"),
        ({"max_skipped_in_a_row": -1}, "max_skipped_in_a_row must be at least 0"),
        ({"checkpoint_every": -5}, "checkpoint_every must be at least 1"),
        ({"callbacks": [(0, print)]}, "The interval of callback 0 must be at least 1"),
        ({"keep": 0}, "must be positive"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_computed(tmp_path, options, words):
    with pytest.raises(UsageError, match=words):
        run_with(tmp_path, **options)


def test_the_state_is_placed_by_the_rules_before_the_first_step(tmp_path):
    def train_step(state, batches):
        found = {leaf.sharding.spec for leaf in jax.tree.leaves(state) if leaf.shape == (4, 16)}
        assert found == {toy.SPLIT[0][1]}
        assert state.step.sharding.spec == PartitionSpec()
        raise InterruptedError

    options = {"mesh": training.make_mesh(), "workdir": tmp_path, "num_steps": 4}
    with pytest.raises(InterruptedError):
        train(toy.make_state(), train_step, toy.ToyLoader(), rules=toy.SPLIT, **options)


def test_data_that_ends(tmp_path):
    mesh = training.make_mesh()
    train_step = training.make_train_step(
        toy.loss_fn, toy.make_optimizer(), mesh, averages=toy.AVERAGES
    )
    with pytest.raises(UsageError, match="The data ended at step 2 of 4; use a loader that"):
        train(toy.make_state(), train_step, Ending(), mesh=mesh, workdir=tmp_path, num_steps=4)


def test_a_run_of_another_model_is_not_resumed(whole, tmp_path):
    options = {"mesh": training.make_mesh(), "workdir": whole[0], "num_steps": 40}
    with pytest.raises(UsageError, match="is of another model or optimizer"):
        train(toy.make_state(width=8), None, toy.ToyLoader(), **options)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


def test_progress_on_a_terminal_and_elsewhere():
    for stream in (Terminal(), io.StringIO()):
        with TrainingProgress(10, 1000, stream) as progress:
            for step in range(11, 15):
                progress.update(step, 64, 0.25)
                progress.log(step, 0.25)
            assert min(progress.speeds) > 0
            progress.message("hello")
        text = stream.getvalue()
        assert "hello" in text
        assert "loss 0.25" in text
        assert "img/s" in text
        if stream.isatty():
            assert "/1000" in text
            assert "ETA" not in text
        else:
            assert "step 11/1000  loss 0.25\n" in text
            assert "ETA 00:" in text


def test_a_loader_of_single_batches_is_told_to_stack_them(tmp_path):
    images = np.zeros((64, 4, 4, 1), np.uint8)
    loader = data.Loader(data.Split(images), 16, seed=0)
    options = {"mesh": training.make_mesh(), "workdir": tmp_path, "num_steps": 4}

    def train_step(state, batches):
        raise AssertionError("called with what it cannot take")

    with pytest.raises(UsageError, match=r"stacked.*\[16, 4, 4, 1\], \[16\]: .* steps=1") as error:
        train(toy.make_state(), train_step, loader, rules=toy.SPLIT, **options)
    assert "\n" not in str(error.value)
    loader.close()
