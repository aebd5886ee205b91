"""The command line on real data: a small DDPM++ on the digits, trained, sampled and evaluated."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from PIL import Image

from scoresde import training
from scoresde.cli import COMMANDS, main

ROOT = pathlib.Path(__file__).parent.parent.parent
STEPS = 12
SMALL = [
    "--config.network.nf=8",
    "--config.network.ch_mult=(1,)",
    "--config.network.attn_resolutions=()",
    "--config.optimizer.warmup=4",
    "--config.training.batch_size=16",
    f"--config.training.num_steps={STEPS}",
    "--config.training.log_every=1",
    "--config.training.eval_every=4",
    "--config.training.sample_every=6",
    "--config.training.checkpoint_every=4",
    "--config.sampler.steps=12",
    "--config.likelihood.batch_size=8",
    "--config.likelihood.rtol=1e-3",
    "--config.likelihood.atol=1e-3",
    "--config.likelihood.probes=2",
]
CONFIG = ["--config", str(ROOT / "configs/vp/digits.py")]


def train(workdir, *more):
    return ["train", *CONFIG, "--workdir", str(workdir), *SMALL, *more]


def start(*commands, devices=1):
    """A process that runs them, one after another until one fails."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    program = ["-m", "scoresde", *commands[0]]
    if len(commands) > 1:
        code = f"from scoresde.cli import main; exit(any(main(c) for c in {list(commands)!r}))"
        program = ["-c", code]
    return subprocess.Popen(
        [sys.executable, *program],
        env={**os.environ, "XLA_FLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process):
    """What a process printed, which went well."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A finished run on one device."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    assert main(train(workdir)) == 0
    return workdir


@pytest.fixture(scope="module")
def evaluated(workdir):
    """Samples and likelihoods of that run."""
    there = ["--workdir", str(workdir)]
    assert main(["sample", *there, "--num", "10", "--batch_size", "8", "--animation"]) == 0
    assert main(["likelihood", *there, "--num", "11", "--baseline", "--name", "a"]) == 0
    return workdir


def arrays(workdir):
    checkpoints = training.Checkpoints(workdir / "checkpoints")
    step = checkpoints.latest_step()
    trees = [checkpoints.restore_params(step, average=name) for name in (None, "ema")]
    return step, [np.asarray(leaf) for leaf in jax.tree.leaves(trees)]


def test_training_leaves_everything_behind(workdir):
    config = json.loads((workdir / "config.json").read_text())
    assert config["network"]["nf"] == 8 and config["training"]["num_steps"] == STEPS
    rows = training.read_log(workdir)
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, STEPS + 1))
    assert sum("eval_loss" in row for row in rows) == STEPS // 4
    assert rows[-1].get("loss", rows[-2].get("loss")) < rows[0]["loss"]
    for name in ("loss.png", f"samples/step_{STEPS:08d}.png"):
        assert Image.open(workdir / name).size[0] > 100
    assert list((workdir / "tensorboard").iterdir())
    step, _ = arrays(workdir)
    assert step == STEPS


def test_sampling_leaves_everything_behind(evaluated):
    directory = evaluated / "samples" / f"step_{STEPS}"
    with np.load(directory / "samples.npz") as saved:
        assert saved["samples"].shape == (10, 8, 8, 1) and saved["samples"].dtype == np.uint8
        assert saved["samples"].max() <= 16 and (saved["nfe"] == 13).all()
    summary = json.loads((directory / "samples.json").read_text())
    assert summary["nfe_mean"] == 13 and summary["parameters"] == "ema"
    assert Image.open(directory / "grid.png").size[0] > 100
    assert Image.open(directory / "noise_to_image.gif").n_frames > 5  # equal ones are merged


def test_likelihood_leaves_everything_behind(evaluated):
    directory = evaluated / "likelihood" / "a"
    summary = json.loads((directory / "likelihood.json").read_text())
    with np.load(directory / "per_image.npz") as saved:
        assert saved["nats"].shape == (11,) and saved["finished"].all()
        bits = -saved["nats"] / 64 / np.log(2) + np.log2(17 / 2)
        np.testing.assert_allclose(saved["bits_per_dim"], bits, rtol=1e-5)
        np.testing.assert_allclose(summary["bits_per_dim"], bits.mean(), rtol=1e-5)
        assert summary["nfe_mean"] == saved["nfe"].mean()
    assert summary["images"] == 11 and summary["bins"] == 17
    assert 1.0 < summary["gaussian_bits_per_dim"] < np.log2(17)


@pytest.mark.thorough  # test_kills.py kills more
def test_killed_and_resumed_equals_uninterrupted(workdir, tmp_path):
    """kill -9 after the first checkpoint, then the same command again: bit for bit the same."""
    process = start(train(tmp_path / "run"))
    first = tmp_path / "run" / "checkpoints" / "4"
    deadline = time.monotonic() + 240
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    assert training.Checkpoints(tmp_path / "run" / "checkpoints").latest_step() < STEPS
    output = finished(start(train(tmp_path / "run")))
    assert "Resuming from" in output
    (step, ours), (whole_step, whole) = arrays(tmp_path / "run"), arrays(workdir)
    assert step == whole_step
    for a, b in zip(ours, whole, strict=True):
        np.testing.assert_array_equal(a, b)
    log = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert log == (workdir / "metrics.jsonl").read_bytes()


@pytest.mark.thorough  # test_several_processes.py has eight devices, too
def test_eight_devices_equal_one(evaluated, tmp_path):
    # The same samples from the same parameters. (tests/cli/test_likelihood.py has likelihoods.)
    workdir, there = tmp_path / "run", ["--workdir", str(evaluated), "--name", "eight"]
    training_of_eight = train(workdir, "--config.training.sample_every=1000")
    sampling = ["sample", *there, "--num", "10", "--batch_size", "8"]
    finished(start(training_of_eight, sampling, devices=8))
    ours, whole = (training.read_log(where) for where in (workdir, evaluated))
    for a, b in zip(ours, whole, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=1e-3), (name, a, b)
    with (
        np.load(evaluated / "samples" / "eight" / "samples.npz") as a,
        np.load(evaluated / "samples" / f"step_{STEPS}" / "samples.npz") as b,
    ):
        assert (np.abs(a["samples"].astype(int) - b["samples"]) > 0).mean() < 0.005


def refused(arguments, capsys):
    """The one line that a mistake prints."""
    capsys.readouterr()  # the progress of what went before
    assert main([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("scoresde: ") and error.count("\n") == 1, error
    return error


def test_another_experiment_in_the_work_directory_is_not_touched(workdir, capsys):
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    message = refused(train(workdir, "--config.network.nf=16"), capsys)
    assert "holds another experiment" in message and "config.network.nf is 8" in message
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


def test_a_run_that_goes_on_keeps_its_config(workdir, capsys):
    before = (workdir / "config.json").read_bytes()
    with training.exclusive(workdir / "checkpoints"):
        message = refused(train(workdir, f"--config.training.num_steps={STEPS + 1}"), capsys)
    assert "Another process is training" in message
    assert (workdir / "config.json").read_bytes() == before


def test_a_directory_of_something_else_is_not_touched(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("precious")
    assert "holds no experiment" in refused(train(tmp_path), capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_without_its_checkpoints_is_not_started_over(workdir, tmp_path, capsys):
    run = shutil.copytree(workdir, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    assert "not its checkpoints" in refused(train(run), capsys)
    assert (run / "metrics.jsonl").read_bytes() == (workdir / "metrics.jsonl").read_bytes()


def test_results_are_not_overwritten_unasked(evaluated, capsys):
    message = refused(["sample", "--workdir", evaluated, "--num", "1"], capsys)
    assert "holds results already" in message and "--overwrite" in message
    again = ["likelihood", "--workdir", evaluated, "--name", "a", "--num", "1"]
    assert "holds results already" in refused(again, capsys)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", *CONFIG], "--workdir"),
        (["trian"], "invalid choice: 'trian'. Did you mean 'train'?"),
        (["prepare", "a", "--out", "b", "--channels", "2"], "invalid choice: 2. Known: 1, 3"),
        (["sampel", "--workdir", "x"], "Did you mean 'sample'?"),
        (["sample", "--workdir", "x", "--numm", "3"], "'--numm'. Did you mean '--num'?"),
        (["sample", "--wrokdir", "x"], "'--wrokdir'. Did you mean '--workdir'?"),
        (["train", *CONFIG, "--workdir", "x", "--cofig.seed=1"], "mean '--config.seed'?"),
        (["likelihood", "--workdir", "x", "--prob=3"], "'--prob'. Did you mean '--probes'?"),
        (["--versoin"], "Did you mean '--version'?"),
        (["train", "--config", "no.py", "--workdir", "x"], "no config file 'no.py'"),
        (["train", *CONFIG, "--workdir", "x", "--wrokdir", "y"], "Unknown argument '--wrokdir'"),
        (["train", *CONFIG, "--workdir", "x", "--config.seed", "5"], "--config.seed=VALUE"),
        (["train", *CONFIG, "--workdir", "x", "--config.sde.nme=ve"], "nme"),
        (["train", *CONFIG, "--workdir", "x", "--config.sedd=1"], "Did you mean 'seed'?"),
        (["train", *CONFIG, "--workdir", "x", "--config.training.batch_size=a"], "batch_size"),
        (["train", *CONFIG, "--workdir", "x", "--config.sde.name=vf"], "Unknown SDE 'vf'"),
        (["train", *CONFIG, "--workdir", "x", "--config.training.ema_rate=2"], "EMA rate"),
        (["train", *CONFIG, "--workdir", "x", "--config.likelihood.rtol=-1"], "rtol"),
        (["train", *CONFIG, "--workdir", "x", "--config.network.ch_mult=(1,1,1,1,1)"], "16"),
        ([*train("x"), "--config.data.labels=True"], "unconditional but was given labels"),
        (["train", *CONFIG, "--workdir", str(ROOT / "README.md")], "is a file"),
        (["sample", "--workdir", "nowhere", "--name", "../x"], "not a name"),
        (["sample", "--workdir", "nowhere", "--over"], "Unknown argument '--over'"),
        (["sample", "--workdir", "nowhere"], "holds no experiment"),
        (["sample", "--workdir", "nowhere", "--label", "dogs"], "holds no experiment"),
        (["likelihood", "--workdir", "nowhere"], "holds no experiment"),
    ],
)
def test_arguments_that_cannot_be_followed_are_one_line(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert message in refused(arguments, capsys)
    assert not list(tmp_path.iterdir())


def test_a_component_of_ones_own_is_found_in_the_folder_one_is_in(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder])  # as in a script
    (tmp_path / "my_sdes.py").touch()
    arguments = ["train", *CONFIG, "--workdir", "x", "--config.sde.name=my_sdes:Mine"]
    assert "'my_sdes' has no 'Mine'" in refused(arguments, capsys)


def test_what_a_run_does_not_have_is_refused_in_one_line(workdir, capsys):
    for arguments, message in (
        (["sample", "--workdir", workdir, "--step", "7"], "7"),
        (["sample", "--workdir", workdir, "--num", "0"], "positive integer"),
        (["sample", "--workdir", workdir, "--seed", str(2**32)], "--seed: '4294967296' is not"),
        (["sample", "--workdir", workdir, "--seed", "-1"], "'-1' is not 0"),
        (["sample", "--workdir", workdir, "--config.network.nf=16"], "of another model"),
        (["sample", "--workdir", workdir, "--label", "3"], "label"),
        (["likelihood", "--workdir", workdir, "--split", "valid"], "valid"),
        (["likelihood", "--workdir", workdir, "--num", "298"], "1 .. 297"),
        (["likelihood", "--workdir", workdir, "--probes", "0"], "at least 1"),
        (["likelihood", "--workdir", workdir, "--samples", "5"], "no option 'samples'"),
        (["likelihood", "--workdir", workdir, "--config.likelihood.rtl=1"], "rtl"),
    ):
        assert message in refused(arguments, capsys)


def test_a_batch_that_the_devices_cannot_share(tmp_path):
    arguments = [*train(tmp_path / "run"), "--config.training.batch_size=12"]
    process = start(arguments, devices=8)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2 and not (tmp_path / "run").exists()
    assert "12" in output and "8" in output and "Traceback" not in output


def test_missing_data_says_how_to_get_it(tmp_path, capsys):
    config = ROOT / "configs/vp/cifar10_ddpmpp_continuous.py"
    workdir = tmp_path / "run"
    arguments = ["train", "--config", config, "--workdir", workdir]
    arguments.append(f"--config.data.source.data_dir={tmp_path / 'data'}")
    assert "scoresde.data.prepare cifar10" in refused(arguments, capsys)
    assert not workdir.exists()


def test_truncated_and_missing_checkpoints(workdir, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    largest = max(
        (
            path
            for path in (copy / "checkpoints" / str(STEPS) / "ema_params").rglob("*")
            if path.is_file()
        ),
        key=lambda path: path.stat().st_size,
    )
    largest.write_bytes(largest.read_bytes()[:100])
    sample = ["sample", "--workdir", copy, "--num", "1", "--name", "damaged"]
    resume = [*train(copy, f"--config.training.num_steps={STEPS}"), "--strict"]
    for arguments in (sample, resume):
        message = refused(arguments, capsys)
        assert f"checkpoints/{STEPS}" in message
    assert not (copy / "samples" / "damaged").exists()
    shutil.rmtree(copy / "checkpoints")
    assert "checkpoint" in refused(sample, capsys)


def test_every_command_has_help_with_an_example(capsys):
    for command in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        text = capsys.readouterr().out
        assert stop.value.code == 0 and f"  scoresde {command}" in text


def test_a_reader_that_has_seen_enough():
    command = f"{sys.executable} -m scoresde samplers --options | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stdout.count("\n") == 1 and not done.stderr


def test_importing_scoresde_is_light():
    code = (
        "import time; t = time.perf_counter(); import scoresde; "
        "print(time.perf_counter() - t < 1.5); import sys; print('jax' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert output.split() == ["True", "False"]
