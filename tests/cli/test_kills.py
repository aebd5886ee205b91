"""`scoresde train` killed at random moments, again and again, ends as if nothing had been."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from scoresde import training
from scoresde.cli import main
from scoresde.training.checkpoints.reading import SavedCheckpoint

TESTS = pathlib.Path(__file__).parent.parent
CONFIG = [
    *("--config", str(TESTS / "tiny_split.py")),
    "--config.training.sample_every=0",
    "--config.training.eval_fd_every=0",
    "--config.training.eval_every=40",
    "--config.training.checkpoint_every=16",
    "--config.training.keep=2",
]


def arguments(workdir, steps):
    return ["train", *CONFIG, f"--config.training.num_steps={steps}", "--workdir", str(workdir)]


class Command:
    """The command in a process of its own; what it says goes to a file."""

    def __init__(self, workdir, steps, log, cache):
        self.checkpoints, self.log = workdir / "checkpoints", log
        # Of those that were killed before.
        self._finished, self._unfinished = self.finished(), self.unfinished()
        self.began = time.monotonic()
        environment = {
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": str(TESTS),
        }
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scoresde", *arguments(workdir, steps)],
                env=os.environ | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def unfinished(self):
        """The checkpoints that are being written, or never will be."""
        found = self.checkpoints.glob("*tmp*") if self.checkpoints.exists() else ()
        return {(path.name, path.stat().st_ctime_ns) for path in found}

    def finished(self):
        return set(training.Checkpoints(self.checkpoints).all_steps())

    def starts(self):
        """Returns at once."""

    def compiles(self):
        """Returns once it compiles the step."""
        self._wait_for(lambda: "compiling" in self.log.read_text())

    def writes(self):
        """Returns once a checkpoint of its own is under way."""
        self._wait_for(lambda: self.unfinished() - self._unfinished)

    def has_written(self):
        """Returns once a checkpoint of its own is finished."""
        self._wait_for(lambda: self.finished() - self._finished)

    def _wait_for(self, seen):
        while not seen():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - self.began < 240, self.log.read_text()
            time.sleep(0.002)

    def end(self):
        """Lets it run to its end, and returns what it said."""
        assert self.process.wait(timeout=240) == 0, self.log.read_text()
        return self.log.read_text()


MOMENTS = (  # what is waited for, and the most seconds from then on
    (Command.writes, 0.06),
    (Command.has_written, 0.15),
    (Command.compiles, 0.5),
    (Command.starts, 3.0),
)


def final(workdir):
    """The step, the log, and the parameters with their average."""
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = checkpoints.latest_step()
    trees = [checkpoints.restore_params(step, average=name) for name in (None, "ema")]
    return step, (workdir / "metrics.jsonl").read_bytes(), jax.tree.leaves(trees)


@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(20, marks=pytest.mark.thorough)]
)
def test_a_run_killed_at_random_moments_ends_as_one_that_was_not(tmp_path, kills):
    """While it compiles, trains, writes a checkpoint and, of 20, starts: by a fixed seed."""
    steps, unfinished, rng = 48 * kills, 0, np.random.default_rng(0)
    assert main(arguments(tmp_path / "whole", steps)) == 0
    made_of = tmp_path / "run", steps, tmp_path / "said", tmp_path / "cache"
    for number in range(kills):
        wait, most = MOMENTS[number % len(MOMENTS)]
        command = Command(*made_of)
        wait(command)
        time.sleep(rng.uniform(0, most))
        command.process.kill()
        assert command.process.wait() == -signal.SIGKILL, "it ended before it could be killed"
        unfinished += bool(command.unfinished())
        for step in command.finished():
            assert SavedCheckpoint(command.checkpoints / str(step)).damage() is None
    assert unfinished, "none was killed while it wrote a checkpoint"

    command = Command(*made_of)
    said = command.end()
    assert "Resuming from" in said and "damaged" not in said
    found, want = final(tmp_path / "run"), final(tmp_path / "whole")
    assert found[:2] == want[:2] and found[0] == steps
    for a, b in zip(found[2], want[2], strict=True):
        np.testing.assert_array_equal(a, b)
    names = {path.name for path in command.checkpoints.iterdir()}
    assert names == {str(steps - 16), str(steps)}  # nothing is left of those that were killed
