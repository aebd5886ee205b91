"""What is logged of an experiment, drawn at its end and told Weights & Biases."""

import json
import sys
import types

import ml_collections
import numpy as np
import pytest
from tiny_model import BARE

from scoresde import evaluation, experiment, losses, runs
from scoresde.registry import UsageError
from scoresde.training import read_log

WATCHED = {
    **BARE,
    "optimizer": {"learning_rate": 0.1, "warmup": 4},
    "training": {
        **{"batch_size": 8, "num_steps": 4, "log_every": 1, "checkpoint_every": 2},
        **{"sample_every": 0, "eval_every": 0},
    },
}


class FakeRun:
    """A run of the fake module, which knows what it was made with and told."""

    def __init__(self, options):
        self.options, self.rows, self.metrics, self.exit_code = options, [], [], None

    def define_metric(self, name, step_metric):
        self.metrics.append((name, step_metric))

    def log(self, row):
        self.rows.append(row)

    def finish(self, exit_code=0):
        self.exit_code = exit_code


@pytest.fixture(scope="module")
def wandb():
    """The runs that the fake module made."""
    made = []
    fake = types.ModuleType("wandb")
    fake.__spec__ = types.SimpleNamespace(name="wandb")
    fake.init = lambda **options: made.append(FakeRun(options)) or made[-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "wandb", fake)
        yield made


@pytest.fixture(scope="module")
def watched(wandb, tmp_path_factory):
    """A run that was told to W&B and stopped after two steps and went on, and one that was not."""
    folder = tmp_path_factory.mktemp("watched")
    config = ml_collections.ConfigDict(WATCHED)
    runs.train(config, folder / "whole")
    config.training.update({"num_steps": 2, "wandb": "mine"})
    runs.train(config, folder / "parts")
    config.training.num_steps = 4
    runs.train(config, folder / "parts")
    return folder


def test_a_run_logs_its_learning_rate_norms_and_losses_by_noise(watched):
    rows = read_log(watched / "whole")
    np.testing.assert_allclose([row["learning_rate"] for row in rows], [0.0, 0.025, 0.05, 0.075])
    assert all(row["param_norm"] > 0 for row in rows)
    levels = [name for row in rows for name in row if name.startswith("loss_by_noise/")]
    assert set(levels) <= {f"loss_by_noise/{n}" for n in range(1, 9)} and len(levels) > 8
    assert not {"images_per_second", "input_wait"} & set().union(*rows)
    # VP draws its times evenly, so that most are of much noise, and eight do not fill all levels.
    assert all(f"loss_by_noise/{n}" in levels for n in (6, 7, 8))


def test_a_resumed_log_is_the_same_to_the_bit_whoever_is_told(watched):
    whole, parts = ((watched / name / "metrics.jsonl").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_the_loss_by_noise_is_drawn_at_the_end(watched):
    for name in ("loss.png", "loss_by_noise.png"):
        assert (watched / "whole" / name).read_bytes().startswith(b"\x89PNG")


def test_a_log_without_levels_is_not_drawn(tmp_path):
    with pytest.raises(UsageError, match="no loss by the level"):
        evaluation.plot_levels(tmp_path / "a.png", [{"step": 1, "loss": 1.0}], losses.level_words())
    assert not list(tmp_path.iterdir())


def test_wandb_goes_on_with_its_run(watched, wandb):
    first, second = wandb
    record = json.loads((watched / "parts" / "wandb.json").read_text())
    for run in (first, second):
        assert run.options["id"] == record["id"] and run.options["project"] == "mine"
        assert run.options["resume"] == "allow" and run.options["name"] == "parts"
        assert run.options["config"]["sde"] == "vp" and run.exit_code == 0
        assert run.metrics == [("*", "step")]
    steps = [row["step"] for run in (first, second) for row in run.rows if "loss" in row]
    assert steps == [1, 2, 3, 4]
    told = {name for row in second.rows for name in row}
    assert {"grad_norm", "learning_rate", "input_wait", "loss_by_noise/6"} <= told


def test_a_project_is_no_part_of_the_experiment(watched):
    config = ml_collections.ConfigDict(WATCHED)
    found = runs.saved_config(watched / "parts")
    assert found.training.wandb == "mine"
    assert experiment.training_differences(found, config) == []


def test_without_the_package_a_project_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = ml_collections.ConfigDict(WATCHED)
    config.training.wandb = "mine"
    with pytest.raises(UsageError, match=r"config\.training\.wandb='mine' needs .*pip install"):
        runs.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_is_told_as_failed(tmp_path, wandb):
    with pytest.raises(RuntimeError), runs.tracking.tracked("mine", tmp_path, {}) as tracker:
        tracker(1, {"loss": 2.0})
        raise RuntimeError
    assert wandb[-1].exit_code == 1 and wandb[-1].rows == [{"step": 1, "loss": 2.0}]


def test_a_run_that_cannot_be_begun_there_is_one_line(tmp_path, wandb, monkeypatch):
    def refuse(**options):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(sys.modules["wandb"], "init", refuse)

    def begin():
        with runs.tracking.tracked("mine", tmp_path, {}):
            pytest.fail("it was begun")

    with pytest.raises(UsageError, match=r"cannot begin the run \(no route.*\): `wandb login`, or"):
        begin()
    (tmp_path / "wandb.json").write_text("{}")
    with pytest.raises(UsageError, match="names no run of Weights & Biases"):
        begin()


@pytest.mark.parametrize("failing", ["log", "finish"])
def test_a_run_outlives_what_watches_it(failing, tmp_path, wandb, monkeypatch, capsys):
    def fail(self, *_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(FakeRun, failing, fail)
    with runs.tracking.tracked("mine", tmp_path, {}) as tracker:
        tracker(1, {"loss": 2.0})
        tracker(2, {"loss": 1.0})
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Warning: Weights & Biases takes nothing more (disk full); the run goes")
    with pytest.raises(RuntimeError, match="mine"), runs.tracking.tracked("mine", tmp_path, {}):
        raise RuntimeError("mine")  # not what W&B says of it
