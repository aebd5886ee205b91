"""`scoresde evaluate` and `scoresde stats`: interruptions, devices, any images, mistakes."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image
from tiny_model import make_run, source

from scoresde import data, metrics
from scoresde.cli import main
from scoresde.registry import UsageWarning

# Where tiny_model is, for processes of their own.
TESTS = pathlib.Path(__file__).parent.parent
PATH = os.pathsep.join([str(TESTS), str(TESTS.parent)])
PIXELS = ["--features", "tiny_model:Pixels"]
EVALUATE = [*PIXELS, "--num", "402", "--batch_size", "8", "--metrics", "fd,kid,recall"]
EVALUATE += ["--config.sampler.steps=4"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("evaluate") / "run"
    make_run(workdir)
    return workdir


def command(workdir, *more):
    return ["evaluate", "--workdir", str(workdir), *more]


def result(directory):
    return json.loads((directory / "evaluation.json").read_text())


def numbers(found):
    return {name: number["value"] for name, number in found["metrics"].items()}


def test_killed_on_eight_devices_and_resumed_on_one_equals_uninterrupted(workdir):
    parts = workdir / "evaluation/killed/parts/000"
    flag = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    process = subprocess.Popen(
        [sys.executable, "-m", "scoresde", *command(workdir, *EVALUATE, "--name", "killed")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH, "XLA_FLAGS": flag},
    )
    deadline = time.monotonic() + 240
    while len(list(parts.glob("0*.npz"))) < 3 and time.monotonic() < deadline:
        if process.poll() is not None:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("0*.npz")}
    assert 3 <= len(kept) < 51

    assert main(command(workdir, *EVALUATE, "--name", "killed")) == 0
    assert main(command(workdir, *EVALUATE, "--name", "whole")) == 0
    killed, whole = (result(workdir / "evaluation" / name) for name in ("killed", "whole"))
    assert numbers(killed) == pytest.approx(numbers(whole), rel=1e-4, abs=1e-6)
    assert killed["num"] == 402 and not parts.parent.exists()


def test_images_from_anywhere_are_measured_and_nothing_is_written_over(workdir, tmp_path, capsys):
    images, reference = source().splits["test"].images * 85, source().splits["train"].images * 85
    for name, array in (("images", images), ("reference", reference)):
        np.save(tmp_path / f"{name}.npy", array)
    given = ["--images", str(tmp_path / "images.npy"), *PIXELS]
    out = tmp_path / "out"
    arguments = ["evaluate", *given, "--reference", str(tmp_path / "reference.npy"), "--out", out]
    assert main([str(argument) for argument in arguments]) == 0
    shown = capsys.readouterr().out
    assert "FD (pixels): " in shown and str(out / "report.html") in shown
    moments = [
        metrics.Statistics().update(array.reshape(128, 4) / 255).result()
        for array in (images, reference)
    ]
    exact = metrics.frechet(*moments[0], *moments[1])
    assert numbers(result(out))["fd"] == pytest.approx(exact, rel=1e-5)
    assert main([str(argument) for argument in arguments]) == 2
    assert "holds results already" in capsys.readouterr().err

    # Statistics of the reference stand for it, as far as they go.
    stats = [
        "stats",
        "--images",
        tmp_path / "reference.npy",
        *PIXELS,
        "--out",
        tmp_path / "ref.npz",
    ]
    stats = [str(argument) for argument in stats]
    assert main(stats) == 0 and main([*stats, "--keep_features", "--overwrite"]) == 0
    features = metrics.stats.read(tmp_path / "ref.npz").features
    np.testing.assert_allclose(features, reference.reshape(128, 4) / 255, rtol=1e-6)
    assert main([*stats, "--overwrite"]) == 0
    assert "128 images, 4 features each of pixels" in capsys.readouterr().out
    found = metrics.stats.read(tmp_path / "ref.npz")
    np.testing.assert_allclose(found.covariance, moments[1].covariance, rtol=1e-6, atol=1e-12)
    assert found.num == 128 and found.protocol == {"name": "pixels"}
    again = ["evaluate", *given, "--reference", str(tmp_path / "ref.npz"), "--metrics", "fd"]
    assert main([*again, "--out", str(tmp_path / "again")]) == 0
    assert numbers(result(tmp_path / "again"))["fd"] == pytest.approx(exact, rel=1e-5)
    assert main(stats) == 2


def test_a_repaired_image_costs_nothing_and_images_that_changed_are_said(tmp_path, capsys):
    images = data.get("digits").splits["test"].images[..., 0] * 15
    for name in ("images", "same"):
        (tmp_path / name).mkdir()
        for number, image in enumerate(images[:24]):
            Image.fromarray(image).save(tmp_path / name / f"{number:02d}.png")
    last, out = tmp_path / "images/20.png", tmp_path / "out"
    given = ["evaluate", "--images", str(last.parent), "--reference", str(tmp_path / "same")]
    given += [
        "--features",
        "digits_classifier",
        "--batch_size",
        "8",
        "--metrics",
        "fd",
        "--out",
        str(out),
    ]
    whole = last.read_bytes()
    last.write_bytes(b"damaged")
    assert main(given) == 2 and len(list((out / "parts").glob("0*.npz"))) == 2
    assert "20.png" in capsys.readouterr().err
    last.write_bytes(whole)
    with pytest.warns(UsageWarning, match="images changed since its evaluation was begun"):
        assert main(given) == 0
    assert "16 of them are there already" in capsys.readouterr().err
    found = result(out)
    assert numbers(found)["fd"] == pytest.approx(0, abs=1e-9)
    assert found["images_sha256"] == found["reference"]["sha256"]  # of the folder's pictures
    with warnings.catch_warnings(action="error"):
        warnings.filterwarnings("ignore", ".*for 64 numbers an image")
        assert main([*given, "--overwrite"]) == 0


@pytest.mark.parametrize("more", [["ref.txt"], ["ref"], ["ref.pkl", "--keep_features"]])
def test_statistics_that_cannot_be_written_are_refused_before_any_are_computed(more, capsys):
    # Reading the images would be another error.
    assert main(["stats", "--images", "x.npy", *PIXELS, "--out", *more]) == 2
    assert f"--out {more[0]}" in capsys.readouterr().err.splitlines()[-1]


def test_values_of_a_key_that_is_swept_twice_are_all_taken(workdir):
    given = [*PIXELS, "--num", "8", "--batch_size", "8", "--metrics", "fd", "--name", "twice"]
    given += ["--sweep", "sampler.steps=2", "--sweep", "config.sampler.steps=3,4"]
    assert main(command(workdir, *given)) == 0
    rows = result(workdir / "evaluation" / "twice")["rows"]
    assert [row["cell"]["sampler.steps"] for row in rows] == [2, 3, 4]


def test_a_reference_that_is_nowhere_is_said_before_weights_are_looked_for(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 4, 3), np.uint8))
    assert main(["evaluate", "--images", str(tmp_path / "x.npy"), "--reference", "nowhere"]) == 2
    assert "There is no file or folder 'nowhere'" in capsys.readouterr().err


def test_the_last_parameters_are_an_average_called_raw(workdir):
    given = [*PIXELS, "--num", "8", "--batch_size", "8", "--metrics", "fd", "--name", "averages"]
    assert main(command(workdir, *given, "--average", "ema,raw", "--config.sampler.steps=2")) == 0
    rows = result(workdir / "evaluation" / "averages")["rows"]
    assert [row["cell"]["average"] for row in rows] == ["ema", "raw"]


HERE = str(TESTS.parent / "docs")
MISTAKES = {
    "nothing": ([], "ne of the arguments --workdir --images is required"),
    "no reference": (["--images", "x.npy", *PIXELS], "--reference"),
    "both": (["--images", "x.npy", "--workdir", "y"], "not allowed with"),
    "of runs": (["--images", "x.npy", "--num", "3"], "--num is of the samples of a run"),
    "seed": (["--images", "x.npy", "--seed", "3"], "--seed is of the samples of a run"),
    "raw": (["--images", "x.npy", "--raw"], "--raw is of the samples of a run"),
    "of images": (["--workdir", "RUN", "--out", "x"], "--out is of --images, not of a run"),
    "no images": (["--images", "x.npy", "--reference", "digits"], "There is no file or folder"),
    "no images, of Inception": (["--images", "x.npy", "--reference", "y"], "'x.npy' to read"),
    "bits": (["--images", HERE, "--reference", HERE, *PIXELS, "--metrics", "fd,bpd"], "of a run"),
    "feature": (["--workdir", "RUN", "--feature", "resize=clean"], "give that as well"),
    "feature=": (["--workdir", "RUN", *PIXELS, "--feature", "resize"], "write KEY=VALUE"),
    "sweep": (["--workdir", "RUN", *PIXELS, "--sweep", "sampler.steps"], "write KEY=V1,V2"),
    "checkpoint": (["--workdir", "RUN", *PIXELS, "--checkpoint", "last"], "all or best"),
    "size": (["--workdir", "RUN", "--features", "digits_classifier"], "takes images of 8x8"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name, workdir, capsys):
    options, message = MISTAKES[name]
    assert main(["evaluate", *(str(workdir) if o == "RUN" else o for o in options)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("scoresde: ") and message in error
