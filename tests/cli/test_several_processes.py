"""The command line as two processes, and on eight devices: the numbers of one on one device."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest

from scoresde import training
from scoresde.cli import main

TESTS = pathlib.Path(__file__).parent.parent
CONFIG = ["--config", str(TESTS / "tiny_split.py")]
STEPS = 12


def start(arguments, devices, code=None):
    """The command line, or Python `code`, in a process of its own."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    program = ["-m", "scoresde"] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def of_two():
    """The options of each of two processes of one job."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    return [["--coordinator", address, "--num_processes", 2, "--process_id", i] for i in range(2)]


def start_two(arguments, devices, **options):
    """Two processes of one job."""
    return [start([*arguments, *which], devices, **options) for which in of_two()]


def finish(*processes):
    """What they wrote, [(stdout, stderr)]; all must have ended well."""
    written = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), written
    return written


def train(workdir, *more):
    return ["train", *CONFIG, "--workdir", workdir, *more]


def continued(found, workdir, step):
    """A new work directory that goes on with the checkpoint of a step of another."""
    workdir.mkdir()
    for name in ("config.json", "metrics.jsonl"):
        shutil.copy(found / name, workdir / name)
    shutil.copytree(found / "checkpoints" / str(step), workdir / "checkpoints" / str(step))
    return workdir


def assert_same_snapshots(workdir, want):
    """Those that the first run has."""
    for step in training.AverageFiles(workdir / "snapshots").steps("power"):
        found, other = (np.load(path / f"snapshots/power/{step}.npz") for path in (workdir, want))
        for name in other.files:
            np.testing.assert_allclose(found[name], other[name], atol=2e-5, err_msg=name)


def assert_same_run(workdir, want):
    """The log of all steps, and the last state, up to the order of additions."""
    found, rows = training.read_log(workdir), training.read_log(want)
    assert [row.keys() for row in found] == [row.keys() for row in rows]
    for row, other in zip(found, rows):
        for name, value in other.items():
            assert row[name] == pytest.approx(value, rel=2e-5)
    assert_same_snapshots(workdir, want)
    for average in (None, "ema", "power"):
        trees = [
            training.Checkpoints(path / "checkpoints").restore_params(average=average)
            for path in (workdir, want)
        ]
        for name, layer in trees[1].items():
            for key, values in layer.items():
                np.testing.assert_allclose(trees[0][name][key], values, atol=2e-5)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """A finished run of one device, with checkpoints of steps 4, 8 and 12."""
    workdir = tmp_path_factory.mktemp("one") / "run"
    assert main([str(argument) for argument in train(workdir)]) == 0
    return workdir


@pytest.fixture(scope="module")
def eight(one, tmp_path_factory):
    """The same from step 4 on, on eight devices, four of which share a state."""
    workdir = continued(one, tmp_path_factory.mktemp("eight") / "run", 4)
    finish(start(train(workdir, "--config.training.fsdp=4"), devices=8))
    return workdir


@pytest.fixture(scope="module")
def two(eight, tmp_path_factory):
    """The same from step 8 on, by two processes of four devices, two of which share a state."""
    workdir = continued(eight, tmp_path_factory.mktemp("two") / "run", 8)
    (out, errors), others = finish(
        *start_two(train(workdir, "--config.training.fsdp=2"), devices=4)
    )
    assert "on 8 device(s) of 2 processes, the state over 2 of them" in out
    assert f"Finished step {STEPS}" in errors
    assert others == ("", "")  # the first process alone speaks
    return workdir


@pytest.mark.slow
def test_devices_and_processes_train_as_one_and_go_on_with_each_others_checkpoints(
    one, eight, two, tmp_path
):
    assert_same_run(eight, one)
    assert_same_run(two, one)
    assert (two / "snapshots/power/12.npz").exists()
    again = continued(two, tmp_path / "run", STEPS)
    longer = f"--config.training.num_steps={STEPS + 2}"
    for workdir in (again, one):
        assert main([str(argument) for argument in train(workdir, longer)]) == 0
    assert_same_run(again, one)


RESULTS = [
    ("exact", ["likelihood", "--num", 10, "--step", STEPS]),
    ("vdm", ["likelihood", "--num", 10, "--step", STEPS, "--bound", "vdm", "--samples", 2]),
    ("drawn", ["sample", "--num", 11, "--batch_size", 8, "--step", STEPS]),
    (
        "measured",
        [
            *("evaluate", "--metrics", "fd,kid,bpd", "--features", "tiny_model:Pixels"),
            *("--num", 11, "--batch_size", 8, "--checkpoint", f"4,{STEPS}"),
        ],
    ),
]


@pytest.mark.slow
def test_results_of_two_processes_are_those_of_one(one, tmp_path):
    """Samples, likelihoods and evaluations, one after the other in one pair of processes."""
    workdir = tmp_path / "run"
    shutil.copytree(one, workdir)
    shutil.rmtree(workdir / "statistics")  # the two make them anew
    commands = [
        (name, [str(argument) for argument in (*options, "--workdir", workdir)])
        for name, options in RESULTS
    ]
    code = (
        "import sys; from scoresde.cli import main\n"
        f"for name, command in {commands}:\n"
        "    assert main([*command, '--name', f'{name}_of_two', *sys.argv[1:]]) == 0"
    )
    (out, _), others = finish(*start_two([], devices=2, code=code))
    assert "11 samples of step 12" in out and others == ("", "")
    for name, command in commands:
        assert main([*command, "--name", f"{name}_of_one"]) == 0

    def pair(folder, name, file):
        return [workdir / folder / f"{name}_of_{who}" / file for who in ("two", "one")]

    found, want = (np.load(path)["samples"] for path in pair("samples", "drawn", "samples.npz"))
    np.testing.assert_array_equal(found, want)
    for name in ("exact", "vdm"):
        arrays = [np.load(path) for path in pair("likelihood", name, "per_image.npz")]
        found, want = (each["bits_per_dim"] for each in arrays)
        np.testing.assert_allclose(found, want, rtol=1e-4)
    found, want = (
        json.loads(path.read_text())["rows"]
        for path in pair("evaluation", "measured", "evaluation.json")
    )
    assert len(found) == len(want) == 2
    for row, other in zip(found, want):
        for name, number in other["metrics"].items():
            assert row["metrics"][name]["value"] == pytest.approx(number["value"], rel=1e-4)


@pytest.mark.thorough
def test_a_mistake_of_the_first_process_ends_all_with_its_line(one):
    """It alone looks at what the work directory holds."""
    processes = start_two(train(one, "--config.seed=3"), devices=1)
    for i, process in enumerate(processes):
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        (line,) = errors.splitlines()
        assert line.startswith(f"scoresde: process {i} of 2: {one} holds another experiment")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "workdir, more, line",
    [
        (
            "here",
            ["--config.seed=3"],
            "overrides is 'none' in process 0 and '--config.seed",
        ),
        ("there", [], "is not one directory for all processes: process 1 does not see"),
    ],
)
def test_processes_of_two_jobs_do_not_wait_for_each_other(workdir, more, line, tmp_path):
    commands = train(tmp_path / "here"), train(tmp_path / workdir, *more)
    processes = [start([*command, *which], devices=1) for which, command in zip(of_two(), commands)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2 and line in errors and len(errors.splitlines()) == 1


@pytest.mark.thorough
def test_a_mistake_of_another_process_ends_all(tmp_path):
    there = ["train", "--config", tmp_path / "none.py", "--workdir", tmp_path / "run"]
    good, bad = (
        start([*command, *which], devices=1)
        for which, command in zip(of_two(), (train(tmp_path / "run"), there))
    )
    _, errors = bad.communicate(timeout=60)
    assert bad.returncode == 2
    assert errors.startswith("scoresde: process 1 of 2: There is no config file")
    good.communicate(timeout=60)
    assert good.returncode != 0  # JAX ended it


@pytest.mark.thorough
@pytest.mark.parametrize("fsdp", [1, 4, -1])
def test_two_processes_train_as_one_from_the_start(fsdp, one, tmp_path):
    workdir = tmp_path / "run"
    finish(*start_two(train(workdir, f"--config.training.fsdp={fsdp}"), devices=4))
    np.testing.assert_allclose(
        [row["loss"] for row in training.read_log(workdir)],
        [row["loss"] for row in training.read_log(one)][:STEPS],
        rtol=2e-5,
    )
    assert_same_snapshots(workdir, one)  # also of a state that no process has whole, by -1


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_finds_no_others_ends_with_a_line(number, tmp_path):
    arguments = [*train(tmp_path / "run", "--join_timeout", 1), *of_two()[number]]
    process = start(arguments, devices=1)
    _, errors = process.communicate(timeout=30)
    (line,) = errors.splitlines()
    assert process.returncode == 2
    words = "is missing some of the others" if number == 0 else "cannot reach process 0 at 127.0"
    assert f"Process {number} of 2 {words}" in line and "after 1 s" in line
