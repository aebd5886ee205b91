"""`scoresde train-dequantizer` on a tiny model: learning, resuming, and its use."""

import json

import jax
import numpy as np
import pytest
from tiny_model import make_run

from scoresde import training
from scoresde.cli import main

STEPS = 60
FLOW = {
    "network": {
        "couplings": 2,
        "filters": 4,
        "blocks": 1,
        "components": 2,
        "context_channels": 4,
        "context_blocks": 0,
        "heads": 0,
    },
    "optimizer": {"learning_rate": 5e-2, "warmup": 5},
    "ema_rate": 0.9,
    "batch_size": 128,
    "num_steps": STEPS,
    "log_every": 1,
    "checkpoint_every": 20,
}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A score model, and a finished dequantizer."""
    workdir = tmp_path_factory.mktemp("dequantizer") / "run"
    make_run(workdir, **FLOW)
    assert main(["train-dequantizer", "--workdir", str(workdir)]) == 0
    return workdir


def final(workdir):
    checkpoints = training.Checkpoints(workdir / "dequantizer" / "checkpoints")
    trees = [checkpoints.restore_params(STEPS, average=name) for name in (None, "ema")]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(trees)]


@pytest.mark.thorough
def test_the_flow_leaves_uniform_noise_behind(workdir):
    rows = [row for row in training.read_log(workdir / "dequantizer") if "loss" in row]
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows[0]["log_q_bits"] < 0.02  # uniform, nearly
    assert rows[-1]["log_q_bits"] > 0.1
    loss = np.array([row["loss"] for row in rows])
    assert loss[-20:].mean() < loss[:20].mean() - 0.1


@pytest.mark.thorough
def test_a_resumed_run_is_the_same_bit_for_bit(workdir, tmp_path):
    make_run(tmp_path / "run", **FLOW)
    command = ["train-dequantizer", "--workdir", str(tmp_path / "run")]
    assert main([*command, "--num_steps", "20"]) == 0
    assert main(command) == 0
    for ours, whole in zip(final(tmp_path / "run"), final(workdir), strict=True):
        np.testing.assert_array_equal(ours, whole)
    log = (tmp_path / "run" / "dequantizer" / "metrics.jsonl").read_bytes()
    assert log == (workdir / "dequantizer" / "metrics.jsonl").read_bytes()


def test_the_flow_improves_the_likelihood(workdir):
    few = ["likelihood", "--workdir", str(workdir), "--num", "32"]
    bits = {}
    for name in ("uniform", "flow"):
        assert main([*few, "--dequantizer", name, "--name", name]) == 0
        bits[name] = json.loads((workdir / "likelihood" / name / "likelihood.json").read_text())
    assert bits["flow"]["bits_per_dim"] < bits["uniform"]["bits_per_dim"] - 0.1
    assert bits["flow"]["dequantizer_step"] == STEPS
    assert bits["flow"]["dequantizer_score_step"] == 0


def test_another_dequantizer_is_not_mixed_in(workdir, capsys):
    path = workdir / "dequantizer" / "dequantizer.json"
    record = path.read_text()
    path.write_text(record.replace('"batch_size": 128', '"batch_size": 32'))
    try:
        assert main(["train-dequantizer", "--workdir", str(workdir)]) == 2
        assert "batch_size is 32 there, 128 here" in capsys.readouterr().err
    finally:
        path.write_text(record)
