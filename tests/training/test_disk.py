"""Disks that are full or gone, and clocks that jump, under the loop: a line, and the way back."""

import contextlib
import functools
import json
import resource
import shutil
import time

import numpy as np
import pytest
from covering import covering

from scoresde import training
from scoresde.registry import UsageError
from scoresde.training import read_log
from scoresde.training.loop import train

from . import toy

# Checkpoints of this size have files that are larger than the log and what belongs to it.
WIDTH = 512


@functools.cache
def train_step():
    """Of all runs here: it is compiled once."""
    mesh = training.make_mesh()
    return training.make_train_step(toy.loss_fn, toy.make_optimizer(), mesh, averages=toy.AVERAGES)


def run(workdir, num_steps=30, width=WIDTH, **options):
    options = {"log_every": 3, "checkpoint_every": 10, "mesh": training.make_mesh(), **options}
    state, loader = toy.make_state(width=width), toy.ToyLoader()
    return train(state, train_step(), loader, workdir=workdir, num_steps=num_steps, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Thirty steps without an interruption: (directory, final arrays)."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, toy.arrays(run(workdir))


@contextlib.contextmanager
def quota():
    """A function that sets the most bytes a file may have, within the block."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


def assert_goes_on(workdir, whole):
    """Once there is room, the same run ends as if there always had been."""
    toy.assert_equal(toy.arrays(run(workdir)), whole[1])
    assert toy.log_text(workdir) == toy.log_text(whole[0])
    names = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert names == {"20", "30"}


@pytest.mark.parametrize(("at", "size"), covering([(10, 600), (20, 200), (30, 8000)], [(20, 200)]))
def test_a_disk_that_is_full_for_a_checkpoint(whole, tmp_path, capfd, caplog, at, size):
    """Of Orbax's own files, of the checksums, and of arrays: none is taken for whole."""
    for step in range(10, at, 10):  # each is on disk before there is no room
        run(tmp_path, step)
    with quota() as most, pytest.raises(UsageError) as error:
        # The log is as it should be: its line is written before.
        run(tmp_path, at, callbacks=[(at, lambda step, _: most(size))])
    message = str(error.value)
    assert "\n" not in message and "File too large" in message
    assert f"{tmp_path}" in message and "the same command then goes on" in message
    out = capfd.readouterr()
    assert "Traceback" not in out.err + out.out and "orbax" not in out.err
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    steps = training.Checkpoints(tmp_path / "checkpoints").all_steps()
    assert steps == [step for step in (10, 20) if step < at]
    assert_goes_on(tmp_path, whole)


@pytest.mark.parametrize("more", [0, 10])
def test_a_disk_that_is_full_for_the_log(whole, tmp_path, capfd, more):
    """Also in the middle of a line, which is then no line."""
    log = tmp_path / "metrics.jsonl"

    def fill(step, _):
        if step == 22:
            most(log.stat().st_size + more)

    run(tmp_path, 20)
    with quota() as most, pytest.raises(UsageError) as error:
        run(tmp_path, callbacks=[(1, fill)])
    assert str(error.value).startswith(f"{log} cannot be written to (File too large). Make room")
    assert "Traceback" not in capfd.readouterr().err
    assert read_log(tmp_path)[-1]["step"] == 21
    with quota() as most, pytest.raises(UsageError, match=r"metrics\.jsonl cannot be written to"):
        most(500)  # where the log does not fit when it is cut back, it stays as it is
        run(tmp_path)
    assert read_log(tmp_path)[-1]["step"] == 21
    assert_goes_on(tmp_path, whole)


def test_a_disk_that_is_full_for_tensorboard_does_not_hang_the_run(whole, tmp_path):
    (tmp_path / "tensorboard").mkdir()
    with quota() as most, pytest.raises(UsageError, match="cannot be written to"):
        run(tmp_path, log_every=1, callbacks=[(5, lambda step, _: most(0))], checkpoint_every=30)
    assert_goes_on(tmp_path, whole)


def test_a_disk_that_is_full_for_pictures_leaves_none(tmp_path, capfd):
    with quota() as most:
        # Less than the picture of the loss, more than this network's checkpoint.
        state = run(tmp_path, width=16, callbacks=[(30, lambda step, _: most(8000))])
        assert int(state.step) == 30
    path = tmp_path / "loss.png"
    assert f"Warning: {path} was not drawn (" in capfd.readouterr().err
    assert not list(tmp_path.glob("*.png")) and not list(tmp_path.glob(".*"))


def test_a_directory_that_vanishes_ends_the_run_and_does_not_come_back(whole, tmp_path):
    workdir = tmp_path / "run"

    def vanish(step, _):
        if step == 14:
            shutil.move(workdir, tmp_path / "elsewhere")

    drawn = []
    callbacks = [(1, vanish), (15, lambda step, _: drawn.append(step))]
    run(workdir, 10)
    with pytest.raises(UsageError, match=r"run/metrics\.jsonl is gone, .* The run stops: put its"):
        run(workdir, callbacks=callbacks)
    assert not workdir.exists() and drawn == []
    shutil.move(tmp_path / "elsewhere", workdir)
    assert_goes_on(workdir, whole)


@pytest.mark.parametrize("place", ["file/run", "/proc/run"])
def test_a_directory_that_cannot_be_made_is_told_before_anything_is_computed(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"run/checkpoints cannot be written to \(.*\)\. Make"):
        run(tmp_path / place)


def test_nothing_depends_on_the_clock(whole, tmp_path, monkeypatch):
    """It jumps by up to a day, forward and back, whenever somebody looks; and the run resumes."""
    jumps = np.random.default_rng(0)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + jumps.uniform(-1e5, 1e5))
    run(tmp_path, 14)
    assert_goes_on(tmp_path, whole)


def test_a_damaged_checkpoint_is_gone_back_from_and_kept(whole, tmp_path, capfd):
    workdir = tmp_path / "run"
    shutil.copytree(whole[0], workdir)
    sums = workdir / "checkpoints" / "30" / "checksums.json"
    name = next(iter(json.loads(sums.read_text())))
    (sums.parent / name).write_bytes(b"")
    with pytest.raises(UsageError, match=r"30 is damaged: .* the one before is of step 20"):
        run(workdir, strict=True)
    assert {path.name for path in sums.parent.parent.iterdir()} == {"20", "30"}
    capfd.readouterr()
    state = run(workdir)
    lines = [line for line in capfd.readouterr().err.splitlines() if "is damaged (" in line]
    assert len(lines) == 1 and lines[0].startswith(f"Warning: The checkpoint {sums.parent} is dam")
    assert (workdir / "checkpoints" / "damaged" / "30" / name).read_bytes() == b""
    shutil.rmtree(workdir / "checkpoints" / "damaged")
    toy.assert_equal(toy.arrays(state), whole[1])
    assert_goes_on(workdir, whole)
