"""The loop in processes of their own: killed, with eight devices, and two at once."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from scoresde import training

from . import toy

FLAG = "--xla_force_host_platform_device_count"


def start(code, devices=1):
    """Runs Python `code` that has imported the toy problem."""
    environment = dict(os.environ)
    environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {FLAG}={devices}"
    folder = pathlib.Path(__file__).parent
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(folder.parent.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys, jax, toy\n{code}"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process, timeout=120):
    """Waits for a process, and returns what it wrote to stderr."""
    _, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, errors
    return errors


def wait_for_step(process, workdir, step, timeout=60):
    """Returns once the log of a running process has reached a step."""
    log = workdir / "metrics.jsonl"
    end = time.monotonic() + timeout
    while time.monotonic() < end and process.poll() is None:
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        if any(line.endswith("\n") and json.loads(line)["step"] >= step for line in lines):
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"step {step} was not reached: {process.communicate()[1]}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Sixty steps on one device without an interruption: (directory, final arrays)."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, toy.arrays(toy.run(workdir, 60))


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGKILL, marks=pytest.mark.thorough), signal.SIGTERM]
)
def test_killed_and_resumed(whole, tmp_path, number):
    process = start(f"toy.run({str(tmp_path)!r}, 60, sleep=0.03)")
    wait_for_step(process, tmp_path, 24)
    process.send_signal(number)
    if number == signal.SIGTERM:
        assert "Stopped by SIGTERM at step" in finish(process)
    else:
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    stopped = training.Checkpoints(tmp_path / "checkpoints").latest_step()
    assert stopped < 60  # it was in the middle
    assert stopped % 10 == 0 if number == signal.SIGKILL else stopped >= 24

    state = toy.run(tmp_path, 60)
    toy.assert_equal(toy.arrays(state), whole[1])
    assert toy.log_text(tmp_path) == toy.log_text(whole[0])


def assert_close(found, want):
    """Equal but for the order in which the devices' gradients were added."""
    assert found.keys() == want.keys()
    for name in want:
        np.testing.assert_allclose(found[name], want[name], atol=2e-5, err_msg=name)


def losses(workdir):
    return [row["loss"] for row in training.read_log(workdir)]


@pytest.mark.thorough  # tests/cli/test_several_processes.py does so by the command line
def test_eight_devices_train_as_one_and_exchange_checkpoints(whole, tmp_path):
    """With everything whole on every device, going on with a run of one device, and with a kernel's
    columns, and those of its average and moments, spread over them, one device going on with that.
    """
    names = "one", "split", "remembering", "broken", "factored"
    one, split, remembering, broken, factored = (tmp_path / name for name in names)
    toy.run(one, 30)
    code = f"""
assert jax.device_count() == 8

def check(state, columns):
    adam = state.opt_state[1][0]
    for tree in (state.params, state.averages["ema"], adam.mu, adam.nu):
        for layer, shape in (("in", (4, columns)), ("out", (16, 4))):
            kernel = tree[layer]["kernel"]
            assert len(kernel.sharding.device_set) == 8
            assert {{shard.data.shape for shard in kernel.addressable_shards}} == {{shape}}

state = toy.run({str(one)!r}, 60)
check(state, columns=16)
placed = toy.training.place(toy.training.make_mesh(), toy.make_state(), toy.SPLIT)
restored, _ = toy.training.Checkpoints({str(one / "checkpoints")!r}).restore(placed)
check(restored, columns=2)
toy.assert_equal(toy.arrays(restored), toy.arrays(state))
check(toy.run({str(split)!r}, 30, rules=toy.SPLIT), columns=2)
state = toy.run({str(remembering)!r}, 12, memory=toy.MEMORY)
assert all(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(state.memory))
assert state.memory["errors"].sharding.is_fully_replicated  # every device knows all errors
state = toy.run({str(broken)!r}, 12, bad_steps={{4, 5, 9}})
toy.run({str(factored)!r}, 12, optimizer=toy.factored())
assert state.skipped.tolist() == [3, 0]  # one device's NaN skips the step on all
try:
    toy.training.shard_batch(toy.training.make_mesh(), toy.np.zeros((1, 12, 4)), axis=1)
except ValueError as error:
    assert "12 cannot be split evenly over 8 devices" in str(error), error
else:
    raise AssertionError("twelve rows were split over eight devices")
"""
    finish(start(code, devices=8))
    assert_close(dict(np.load(one / "final.npz")), whole[1])
    assert_close(toy.arrays(toy.run(split, 60)), whole[1])
    state = toy.run(tmp_path / "remembering_alone", 12, memory=toy.MEMORY)
    assert_close(dict(np.load(remembering / "final.npz")), toy.arrays(state))
    state = toy.run(tmp_path / "broken_alone", 12, bad_steps={4, 5, 9})
    assert_close(dict(np.load(broken / "final.npz")), toy.arrays(state))
    state = toy.run(tmp_path / "factored_alone", 12, optimizer=toy.factored())
    assert_close(dict(np.load(factored / "final.npz")), toy.arrays(state))
    for workdir in (one, split):
        np.testing.assert_allclose(losses(workdir), losses(whole[0]), rtol=1e-4)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.slow
def test_two_processes_train_as_one_and_stop_together(whole, tmp_path):
    """Two processes with two devices each resume a run; SIGTERM to one of them stops both."""
    address = f"127.0.0.1:{free_port()}"
    processes = [
        start(
            f"jax.distributed.initialize({address!r}, num_processes=2, process_id={i})\n"
            f"state = toy.run({str(tmp_path)!r}, 10)\n"
            "print('eval loss', toy.eval_loss(state), file=sys.stderr)\n"
            f"state = toy.run({str(tmp_path)!r}, 60, sleep=0.05)\n"
            "print('last step', int(state.step), file=sys.stderr)",
            devices=2,
        )
        for i in range(2)
    ]
    wait_for_step(processes[0], tmp_path, 21)
    processes[1].send_signal(signal.SIGTERM)
    errors = [finish(process) for process in processes]
    step = training.Checkpoints(tmp_path / "checkpoints").latest_step()
    assert 21 <= step < 60
    assert [text.splitlines()[-1] for text in errors] == [f"last step {step}"] * 2
    (evaluated,) = {text.split("eval loss ")[1].splitlines()[0] for text in errors}
    want = toy.eval_loss(toy.run(tmp_path / "ten", 10))
    assert float(evaluated) == pytest.approx(want, rel=1e-5)
    assert "Resuming from" in errors[0]
    assert "Resuming from" not in errors[1]  # only the first process speaks

    state = toy.run(tmp_path, 60)  # one process takes over
    assert_close(toy.arrays(state), whole[1])
    np.testing.assert_allclose(losses(tmp_path), losses(whole[0]), rtol=1e-4)
