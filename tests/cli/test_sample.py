"""`scoresde sample` on a tiny model: interruptions, what it says, samples that are not finite."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from tiny_model import make_run

from scoresde.cli import main

TESTS = pathlib.Path(__file__).parent.parent
PATH = os.pathsep.join([str(TESTS), str(TESTS.parent)])
FEW = ["--config.sampler.steps=4"]
MANY = [*FEW, "--num", "1001", "--batch_size", "2"]
# One step of the adaptive solver does not get there.
BROKEN = ["--config.sampler=probability_flow", "--config.sampler.max_steps=1"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("sample") / "run"
    make_run(workdir)
    return workdir


def command(workdir, *more):
    return ["sample", "--workdir", str(workdir), *more]


def results(workdir, name):
    directory = workdir / "samples" / name
    with np.load(directory / "samples.npz") as saved:
        return json.loads((directory / "samples.json").read_text()), dict(saved)


def test_stopped_and_resumed_equals_uninterrupted(workdir, capsys):
    """SIGTERM after some batches, then the same command: the same samples, bit for bit."""
    process = subprocess.Popen(
        [sys.executable, "-m", "scoresde", *command(workdir, *MANY, "--name", "stopped")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH},
    )
    lines = []
    while not lines or not re.match(r"\d+/1001 samples", lines[-1]):  # a batch is done
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    process.send_signal(signal.SIGTERM)
    lines += process.stderr.read().splitlines()
    assert process.wait() == 130, lines
    parts = workdir / "samples" / "stopped" / "parts"
    match = re.match(
        r"scoresde: stopped by SIGTERM. (\d+) of 1001 samples are kept in (.*); the same command "
        "goes on from there.",
        lines[-1],
    )
    assert match and match[2] == str(parts), lines[-1]
    assert 0 < int(match[1]) < 1001
    assert not (parts.parent / "samples.npz").exists()

    # Other options may not add to what is there.
    assert main(command(workdir, *MANY, "--name", "stopped", "--seed", "1")) == 2
    assert "another protocol: seed is 0 there, 1 here" in capsys.readouterr().err

    assert main(command(workdir, *MANY, "--name", "stopped")) == 0
    found = re.search(r"(\d+) of them are there already", capsys.readouterr().err)
    assert int(found[1]) >= int(match[1])  # it may have finished one more
    whole = [*FEW, "--num", "1001", "--batch_size", "500", "--name", "whole"]
    assert main(command(workdir, *whole)) == 0
    (ours, our_arrays), (other, other_arrays) = (
        results(workdir, name) for name in ("stopped", "whole")
    )
    for summary in (ours, other):
        del summary["seconds"]
    assert ours == other and ours["num"] == 1001
    for name, values in our_arrays.items():
        np.testing.assert_array_equal(values, other_arrays[name])
    assert not parts.exists()
    assert main(command(workdir, *MANY, "--name", "stopped")) == 2
    assert "holds results already" in capsys.readouterr().err


def test_what_is_done_is_said_a_line_a_batch(workdir, capsys):
    assert main(command(workdir, *FEW, "--num", "5", "--batch_size", "2", "--name", "said")) == 0
    output = capsys.readouterr()
    lines = output.err.splitlines()
    where = workdir / "samples" / "said"
    start = "Drawing 5 samples of step 0 by dpm_solver_pp_2m, 4 steps each, 3 batch(es) of 2"
    assert lines[0] == f"{start}; they go to {where}."
    assert lines[1] == "compiling ..." and lines[2].startswith("compiled in")
    assert [line.split()[0] for line in lines[3:]] == ["2/5", "4/5", "5/5"]
    assert "ETA" in lines[3] and "NFE 5" in lines[3]
    assert str(where / "samples.npz") in output.out and "Warning" not in output.out


def test_samples_of_which_none_is_finite_are_a_failure(workdir, capsys):
    arguments = [*BROKEN, "--num", "3", "--name", "broken"]
    assert main(command(workdir, *arguments)) == 1
    assert "Warning: 3 of 3 samples are not finite" in capsys.readouterr().out
    summary, arrays = results(workdir, "broken")
    assert summary["unfinished"] == 3
    assert (arrays["samples"] == 2).all()  # of four levels: neither black nor white


def test_an_animation_of_states_that_are_not_finite_says_so(workdir, capsys):
    arguments = [*BROKEN, "--num", "3", "--name", "animated", "--animation"]
    assert main(command(workdir, *arguments)) == 1
    assert "Warning: of 3 samples in the animation" in capsys.readouterr().out
    assert results(workdir, "animated")[0]["unfinished_in_animation"] == 3


def test_some_samples_that_are_not_finite_are_counted_and_no_failure(workdir, capsys, monkeypatch):
    from scoresde import runs

    def draw(self, request, **options):
        return {"num": 4, "unfinished": 1, "step": 0, "seconds": 1.0, "nfe_mean": 5.0, "files": []}

    monkeypatch.setattr(runs.Run, "draw", draw)
    assert main(command(workdir)) == 0
    assert "Warning: 1 of 4 samples are not finite" in capsys.readouterr().out
