"""`scoresde train --dry_run`: what a run would be and need, without a trace of it."""

import re

import jax
import ml_collections
import pytest
from tiny_model import BARE

from scoresde import build, runs, training
from scoresde.cli import main
from scoresde.runs.dry_run import available_memory
from scoresde.runs.setup import flops_of_step


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("dry") / "config.py"
    path.write_text(f"def get_config():\n    return {BARE!r}\n")
    return path


@pytest.fixture(scope="module")
def found():
    """What a dry run returns, and its lines."""
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("tqdm.tqdm.write", lambda text, file: lines.append(text))
        return runs.dry_run(ml_collections.ConfigDict(BARE)), lines


def test_it_says_what_is_trained_and_what_it_needs(found):
    result, lines = found
    text = "\n".join(lines)
    assert "tiny: 128 train, 128 test images of 2x2x1, 4 levels" in text
    assert "Network, 4 parameters" in text and "2 steps of 8" in text and "1 device(s): cpu" in text
    assert "Warning: The learning rate still rises" in text
    assert re.search(r"arguments .*, outputs .* \(aliased .*\), temporaries ", text)
    assert lines[-1] == "A dry run: nothing was written."
    memory = result["memory"]
    batch, params = 8 * 4, 4 * 4  # pixels of a byte, and no labels, which are not read
    assert memory["arguments"] >= batch + 4 * params  # average and Adam's moments, too
    assert memory["peak"] == (
        memory["arguments"] + memory["outputs"] - memory["aliased"] + memory["temporaries"]
    )
    assert result["available"] > memory["peak"]


def test_its_step_is_the_first_of_training(found, tmp_path):
    config = ml_collections.ConfigDict(BARE)
    config.training.update({"log_every": 1, "sample_every": 0, "num_steps": 1, "eval_every": 0})
    runs.train(config, tmp_path)
    row = training.read_log(tmp_path)[0]
    assert found[0]["loss"] == pytest.approx(row["loss"], rel=1e-6)
    assert found[0]["grad_norm"] == pytest.approx(row["grad_norm"], rel=1e-6)


def test_nothing_is_written(config_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--config", str(config_file), "--workdir", "runs/new", "--dry_run"]
    assert main(["train", *options]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    assert main(["train-classifier", *options]) == 2
    assert "trains no classifier" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_operations_are_those_of_the_whole_batch_forward_and_back():
    config = {
        **BARE,
        "data": {"source": "digits", "image_shape": (8, 8, 1)},
        "network": {"name": "ddpm", "nf": 32, "ch_mult": (1,), "num_res_blocks": 1},
        "training": {"batch_size": 4, "num_steps": 2},
    }
    one = flops_of_step(build(config))
    config["training"] = {"batch_size": 8, "num_steps": 2, "accumulate": 2}
    assert flops_of_step(build(config)) == pytest.approx(2 * one, rel=0.01)
    assert one > 4 * 3 * 2 * 64 * 9 * 32 * 32  # three passes of one of its convolutions


def test_memory_is_the_device_s_where_it_says_so():
    class Device:
        platform = "gpu"

        def __init__(self, stats):
            self.memory_stats = lambda: stats

    assert available_memory(Device({"bytes_limit": 5})) == (5, "the device's")
    assert available_memory(Device(None)) == (None, "the device's")
    host, whose = available_memory(jax.devices("cpu")[0])
    assert host > 2**28 and whose == "the host's"


def test_wrong_steps_to_profile_are_refused_before_anything_is_written(
    config_file, tmp_path, capsys
):
    options = ["--config", str(config_file), "--workdir", str(tmp_path / "new")]
    for steps, message in (("3:1", "START:STOP"), ("1:3", "beyond the run, which has 2 steps")):
        assert main(["train", *options, "--profile", steps]) == 2
        assert message in capsys.readouterr().err
    assert main(["train", *options, "--profile", "0:1", "--dry_run"]) == 2
    assert "leave out --profile" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
