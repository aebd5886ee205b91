"""`scoresde likelihood` on a tiny model: interruptions, bounds, dequantizers, mistakes."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from tiny_model import make_run, source

from scoresde.cli import main

# Where tiny_model is, for processes of their own.
TESTS = pathlib.Path(__file__).parent.parent
PATH = os.pathsep.join([str(TESTS), str(TESTS.parent)])
NUM = 81  # an odd number: the last batch is filled up
EVALUATE = ["--num", str(NUM), "--passes", "2"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("likelihood") / "run"
    make_run(workdir)
    return workdir


def command(workdir, *more):
    return ["likelihood", "--workdir", str(workdir), *more]


def results(workdir, name):
    directory = workdir / "likelihood" / name
    with np.load(directory / "per_image.npz") as saved:
        return json.loads((directory / "likelihood.json").read_text()), dict(saved)


def refused(arguments, capsys):
    capsys.readouterr()  # the progress of what went before
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scoresde: ") and error.count("\n") == 1, error
    return error


@pytest.mark.thorough  # test_several_processes.py has eight devices, too
def test_eight_devices_equal_one(workdir):
    flag = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = {**os.environ, "PYTHONPATH": PATH}
    subprocess.run(
        [sys.executable, "-m", "scoresde", *command(workdir, "--num", "13", "--name", "eight")],
        check=True,
        env={**environment, "XLA_FLAGS": flag},
    )
    assert main(command(workdir, "--num", "13", "--name", "one")) == 0
    (one, alone), (eight, together) = (results(workdir, name) for name in ("one", "eight"))
    assert (one["devices"], eight["devices"]) == (1, 8)
    np.testing.assert_allclose(together["nats"], alone["nats"], rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(together["nfe"], alone["nfe"])


@pytest.mark.thorough  # test_evaluate.py kills the same loop over batches
def test_killed_and_resumed_equals_uninterrupted(workdir, capsys):
    """kill -9 after the first batch, then the same command: the same numbers, bit for bit."""
    parts = workdir / "likelihood" / "killed" / "parts"
    process = subprocess.Popen(
        [sys.executable, "-m", "scoresde", *command(workdir, *EVALUATE, "--name", "killed")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH},
    )
    deadline = time.monotonic() + 240
    while not list(parts.glob("0*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    found = {path: path.stat().st_mtime_ns for path in parts.glob("0*.npz")}
    assert 0 < len(found) < (NUM + 1) // 2 and not (parts.parent / "likelihood.json").exists()

    # Other options may not add to what is there.
    other = command(workdir, *EVALUATE, "--name", "killed", "--seed", "1")
    assert "another protocol: seed is 0 there, 1 here" in refused(other, capsys)
    other = command(workdir, "--num", "40", "--passes", "2", "--name", "killed")
    assert f"images is {NUM} there, 40 here" in refused(other, capsys)
    assert {path: path.stat().st_mtime_ns for path in parts.glob("0*.npz")} == found

    assert main(command(workdir, *EVALUATE, "--name", "killed")) == 0
    assert main(command(workdir, *EVALUATE, "--name", "whole")) == 0
    (ours, our_arrays), (whole, whole_arrays) = (
        results(workdir, name) for name in ("killed", "whole")
    )
    for summary in (ours, whole):
        del summary["seconds"]
    assert ours == whole and ours["images"] == NUM and ours["passes"] == 2
    assert our_arrays.keys() == whole_arrays.keys()
    for name, values in our_arrays.items():
        assert values.shape[0] == NUM
        np.testing.assert_array_equal(values, whole_arrays[name])
    assert not parts.exists()
    assert Image.open(workdir / "likelihood/whole/figure.png").size[0] > 500

    # Images that look alike, at the same place of different batches, have noise of their own.
    images = source().splits["test"].images[:NUM].reshape(NUM, -1)
    _, first, alike = np.unique(images, axis=0, return_index=True, return_inverse=True)
    later = [i for i in range(NUM) if first[alike[i]] < i and (i - first[alike[i]]) % 2 == 0]
    assert len(later) > 20
    assert (whole_arrays["nats"][later] != whole_arrays["nats"][first[alike[later]]]).all()

    parts = [ours[f"standard_error_of_{part}"] for part in ("probes", "dequantization", "data")]
    np.testing.assert_allclose(np.sum(np.square(parts)), ours["standard_error"] ** 2, rtol=1e-5)
    bits = whole_arrays["bits_per_dim"]
    assert ours["bits_per_dim"] == pytest.approx(bits.mean(), rel=1e-6)
    assert ours["importance_bits_per_dim"] < ours["bits_per_dim"]
    assert not ours["importance_is_a_bound"]  # two probes
    assert ours["dequantization"] == "uniform" and ours["bound"] == "exact"
    quantiles = np.quantile(whole_arrays["nfe"], (0.05, 0.5, 0.95))
    np.testing.assert_allclose(list(ours["nfe_quantiles"].values()), quantiles)

    message = refused(command(workdir, *EVALUATE, "--name", "whole"), capsys)
    assert "holds results already" in message and "--overwrite" in message


def test_passes_have_noise_and_probes_of_their_own(workdir):
    assert main(command(workdir, "--num", "2", "--passes", "2", "--name", "passes")) == 0
    assert main(command(workdir, "--num", "2", "--name", "pass")) == 0
    _, both = results(workdir, "passes")
    _, one = results(workdir, "pass")
    np.testing.assert_array_equal(both["nats_of_pass"][:, :1], one["nats_of_pass"])
    assert (both["nats_of_pass"][:, 1] != one["nats_of_pass"][:, 0]).all()


def test_overwriting_starts_over(workdir):
    assert main(command(workdir, "--num", "2", "--name", "over")) == 0
    other = ["--num", "3", "--overwrite", "--config.likelihood.rtol=2e-3"]
    assert main(command(workdir, "--name", "over", *other)) == 0
    summary, _ = results(workdir, "over")
    assert summary["images"] == 3 and summary["rtol"] == 2e-3


def test_dequantizers_and_bounds_record_their_protocol(workdir):
    few = ["--num", "3", "--samples", "2", "--repeats", "2"]
    numbers = {}
    for name, options in {
        "truncated": [
            *("--bound", "score_flow", "--dequantizer", "truncated_normal"),
            *("--dequantizer_std", "0.04"),
        ],
        "vdm": ["--bound", "vdm"],
        "ddpm": ["--bound", "ddpm", "--steps", "10", "--option", "variance=forward"],
    }.items():
        assert main(command(workdir, *few, "--name", name, *options)) == 0
        numbers[name], _ = results(workdir, name)
        assert np.isfinite(numbers[name]["bits_per_dim"])
        assert numbers[name]["nfe_mean"] == 6 and numbers[name]["samples"] == 2
    assert numbers["vdm"]["dequantization"] == "none" and "probes" not in numbers["vdm"]
    # The network is trained on dequantized images: levels are the centers of the bins.
    np.testing.assert_allclose(numbers["vdm"]["level_range"], [-3 / 4, 3 / 4])
    np.testing.assert_allclose(numbers["truncated"]["bin_range"], [-1, 1])
    assert numbers["truncated"]["dequantization_std"] == 0.04
    assert numbers["ddpm"]["steps"] == 10 and numbers["ddpm"]["variance"] == "forward"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--bound", "elbo"], "Unknown bound 'elbo'"),
        (["--bound", "math:sqrt"], "The bound 'math:sqrt'"),
        (["--bound", "vdm", "--dequantizer", "uniform"], "leave out --dequantizer"),
        (["--dequantizer", "gaussian"], "Unknown dequantizer 'gaussian'"),
        (["--dequantizer", "flow"], "scoresde train-dequantizer"),
        (["--dequantizer_std", "0.1"], "no option 'std'"),
        (["--dequantizer", "truncated_normal", "--dequantizer_std", "0"], "positive std"),
        (["--passes", "0"], "passes must be at least 1"),
        (["--bound", "vdm", "--probes", "2"], "vdm' has no option 'probes'"),
        (["--bound", "vdm", "--steps", "5"], "vdm' has no option 'steps'"),
        (["--bound", "ddpm", "--option", "variance"], "write KEY=VALUE"),
        (["--bound", "ddpm", "--option", "variance=large"], "Unknown variance 'large'"),
        (["--bound", "vdm", "--samples", "0"], "samples must be a positive integer"),
    ],
)
def test_protocols_that_contradict_themselves_are_one_line(options, message, workdir, capsys):
    assert message in refused(command(workdir, "--name", "mistake", *options), capsys)
    assert not (workdir / "likelihood" / "mistake").exists()
