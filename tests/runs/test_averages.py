"""Averages put together after a run: taken by everything that takes an average of training."""

import json

import jax
import numpy as np
import pytest
from tiny_model import BARE

from scoresde import runs
from scoresde.cli import main
from scoresde.registry import UsageError, UsageWarning
from scoresde.runs.guided import guided as guided_by

AVERAGES = {
    "ema": {"name": "power", "length": 0.1},
    "short": {"name": "power", "length": 0.05},
    "slow": {"name": "ema", "rate": 0.99},
}
CONFIG = {
    **BARE,
    "optimizer": {"learning_rate": 0.05, "warmup": 0},
    "training": {
        "batch_size": 8,
        "num_steps": 24,
        "sample_every": 0,
        "eval_every": 0,
        "checkpoint_every": 10,
        "snapshot_every": 4,
        "averages": AVERAGES,
    },
    "sampler": {"name": "ddim", "steps": 3},
    "likelihood": {"t_min": 1e-2, "rtol": 1e-2, "atol": 1e-2, "batch_size": 4},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("averages") / "run"
    runs.train(CONFIG, workdir)
    return runs.Run(workdir)


def test_several_averages_are_followed_and_some_are_saved(run):
    assert run.checkpoints.averages() == ["ema", "short", "slow"]
    assert sorted(path.name for path in (run.workdir / "snapshots").iterdir()) == ["ema", "short"]
    means = [np.ravel(run.params(average=name)["mean"])[0] for name in (*AVERAGES, None)]
    assert len(set(means)) == 4


def test_an_average_is_made_and_taken_like_any_other(run, capsys):
    assert main(["ema", "--workdir", str(run.workdir), "--length", "0.08"]) == 0
    said = capsys.readouterr().out
    assert "The average power_0_08 of step 24, of length 0.08 from 12 snapshots" in said
    # Once more what was followed, by another name.
    again = runs.make_average(run, 0.1, name="again", step=20)
    assert (again.step, again.snapshots) == (20, 10) and again.error < 1e-6
    expected, found = run.params(20), run.params(average="again")
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-5)
    assert run.step() == 24 and run.step(None, "again") == 20
    assert run.steps("again") == [20] and run.steps("ema") == [20, 24]

    x = np.ones((2, *run.experiment.shape), np.float32)
    one, other = (run.denoiser(average=name)(x, 0.5).x0 for name in ("power_0_08", "ema"))
    assert np.isfinite(one).all() and np.abs(one - other).max() > 0


def test_samples_likelihoods_and_evaluations_take_it(run, capsys):
    runs.make_average(run, 0.07, name="here", step=16)  # where there is no checkpoint
    directory = str(run.workdir)
    sample = ["sample", "--workdir", directory, "--average", "here", "--num", "4"]
    assert main([*sample, "--name", "one"]) == 0
    summary = json.loads((run.workdir / "samples/one/samples.json").read_text())
    assert (summary["step"], summary["parameters"]) == (16, "here")
    likelihood = ["likelihood", "--workdir", directory, "--average", "here", "--num", "4"]
    assert main(likelihood) == 0
    result = json.loads(next(run.workdir.glob("likelihood/*/likelihood.json")).read_text())
    assert (result["step"], result["parameters"]) == (16, "here")
    evaluate = ["evaluate", "--workdir", directory, "--average", "here", "--num", "8"]
    evaluate += ["--metrics", "fd", "--features", "tiny_model:Pixels", "--no_floor"]
    assert main(evaluate) == 0
    (row,) = json.loads(next(run.workdir.glob("evaluation/*/evaluation.json")).read_text())["rows"]
    assert row["cell"] == {"step": 16, "average": "here"}
    capsys.readouterr()
    assert main([*sample, "--step", "20", "--name", "two"]) == 2
    assert "no average 'here' of step 20" in capsys.readouterr().err
    assert main([*evaluate, "--average", "here,ema", "--name", "two"]) == 2
    assert "have no step in common" in capsys.readouterr().err


def test_what_is_there_is_not_replaced_unasked(run):
    made = runs.make_average(run, 0.06, name="mine")
    before = made.path.read_bytes()
    with pytest.raises(UsageError, match=r"an average 'mine' of step 24 .* or --overwrite"):
        runs.make_average(run, 0.06, name="mine")
    with pytest.raises(UsageError, match=r"of step 24 has the length 0.06, and this one 0.09"):
        runs.make_average(run, 0.09, name="mine", step=20)
    assert made.path.read_bytes() == before
    runs.make_average(run, 0.09, name="mine", overwrite=True)
    assert made.path.read_bytes() != before


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "slow"}, "'slow' is what training calls one of its averages"),
        ({"name": "a/b"}, "cannot be called 'a/b'"),
        ({"name": "raw"}, "'raw' is what training calls"),
        ({"length": -1.0}, "lies above 0"),
        ({"length": 0.4}, "lies above 0 and up to 0.2886"),
        ({"step": 25}, "Step 25 lies beyond the last snapshot"),
        ({"step": 3}, "of steps 4 to 24"),
    ],
)
def test_averages_that_cannot_be_made_are_refused(run, options, message):
    with pytest.raises(UsageError, match=message):
        runs.make_average(run, **{"length": 0.08, **options})


def test_a_profile_that_comes_nowhere_near_is_warned_of(run):
    with pytest.warns(UsageWarning, match=r"off by \d+%: .* lengths 0.05, 0.1 \(0.04 from 0.01\)"):
        runs.make_average(run, 0.01)
    with pytest.warns(UsageWarning, match="and of step 4 or earlier"):
        runs.make_average(run, 0.1, name="late", step=7)


def test_a_run_without_snapshots_says_how_to_have_them(tmp_path):
    config = {**CONFIG, "training": {**CONFIG["training"], "num_steps": 1, "snapshot_every": 0}}
    runs.train(config, tmp_path)
    with pytest.raises(UsageError, match=r"no snapshots in .*config.training.snapshot_every"):
        runs.make_average(runs.TrainedModel(tmp_path), 0.1)


def test_one_made_may_be_that_of_a_weaker_model(run):
    runs.make_average(run, 0.12, name="wide")
    x = np.ones((2, *run.experiment.shape), np.float32)

    def guided(reference, scale=0.0):  # the weaker model alone
        section = {"name": "autoguidance", "scale": scale, "weaker": reference}
        return guided_by(run.denoiser(), section, {}, run.experiment)[0](x, 0.5).x0

    for reference, average, step in (
        (f"{run.workdir}", "ema", None),
        (f"{run.workdir}@wide", "wide", None),
        (f"{run.workdir}@20@short", "short", 20),
    ):
        expected = run.denoiser(step, average)(x, 0.5).x0
        np.testing.assert_allclose(guided(reference), expected, atol=1e-6)
    assert jax.numpy.abs(guided(f"{run.workdir}@wide") - guided(str(run.workdir))).max() > 1e-6
