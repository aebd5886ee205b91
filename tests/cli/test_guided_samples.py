"""`scoresde sample --guidance`: what is drawn, recorded and refused."""

import json
import re

import jax
import numpy as np
import pytest

from scoresde import training
from scoresde.cli import main
from scoresde.experiment import build, load_config
from scoresde.registry import UsageWarning
from scoresde.runs import save_config

SMALL = ["nf=8", "ch_mult=(1,)", "num_res_blocks=1", "attn_resolutions=()"]


def make_run(workdir, *items):
    """The digits' experiment with a tiny network, at step 0."""
    config = load_config("vp/digits", [*(f"--config.network.{item}" for item in SMALL), *items])
    experiment = build(config)
    params = experiment.init(jax.random.key(0))
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)  # or the classes would all be the same
    save_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        averages = experiment.averages
        state = training.create_state(jax.random.key(1), params, experiment.optimizer, averages)
        checkpoints.save(0, state)
    return workdir


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    labels = ["--config.data.labels=True", "--config.network.num_classes=10"]
    return make_run(tmp_path_factory.mktemp("guided") / "run", *labels)


def sample(workdir, name, *items):
    common = ["--num", "5", "--batch_size", "5", "--config.sampler.steps=2", "--name", name]
    status = main(["sample", "--workdir", str(workdir), *common, *items])
    directory = workdir / "samples" / name
    if status:
        return status, directory
    saved = np.load(directory / "samples.npz")
    return json.loads((directory / "samples.json").read_text()), dict(saved)


def test_the_classes_come_in_turn_and_the_guidance_is_recorded(workdir):
    cfg = ["--guidance", "cfg", "--scale"]
    with pytest.warns(UsageWarning, match="label_dropout=0.1"):  # it knows no model without
        record, guided = sample(workdir, "guided", *cfg, "4", "--labels", "3,7-8")
    assert record["guidance"] == [{"name": "cfg", "scale": 4.0}]
    assert record["labels"] == [3, 7, 8] and guided["labels"].tolist() == [3, 7, 8, 3, 7]
    record, plain = sample(workdir, "plain", "--labels", "3,7-8")
    assert "guidance" not in record
    _, neutral = sample(workdir, "neutral", *cfg, "1", "--labels", "3,7-8")
    np.testing.assert_array_equal(neutral["samples"], plain["samples"])
    assert (guided["samples"] != plain["samples"]).any()
    never = "interval=(1e6, 2e6)"  # of noise levels, beyond the process's
    with pytest.warns(UsageWarning, match="label_dropout=0.1"):
        record, outside = sample(
            workdir, "never", *cfg, "4", "--labels", "3,7-8", "--guidance_option", never
        )
    assert record["guidance"] == [{"name": "cfg", "interval": [1e6, 2e6], "scale": 4.0}]
    np.testing.assert_array_equal(outside["samples"], plain["samples"])


@pytest.mark.parametrize(
    "items, message",
    [
        (["--guidance", "cgf", "--scale", "2"], "Did you mean 'cfg'"),
        (["--guidance", "cfg"], "needs the option 'scale'"),
        (["--guidance", "cfg", "--scale", "much"], "invalid float value: 'much'"),
        (["--guidance", "cfg", "--scale", "nan"], "must be a finite number"),
        (["--scale", "2"], "say which, as --guidance cfg"),
        (["--guidance_option", "interval=(0,1)"], "say which, by --guidance"),
        (["--guidance", "clip", "--guidance_option", "name=cfg"], "name is that of --guidance"),
        (["--guidance", "temperature", "--guidance_option", "scale=2"], "has no option 'scale'"),
        (["--labels", "7-12"], "12"),
        (["--labels", "8-3"], "from the smaller to the larger"),
        (["--labels", "3", "--label", "4"], "not both"),
    ],
)
def test_a_mistake_is_a_line_and_nothing_is_written(items, message, workdir, capsys):
    status, directory = sample(workdir, "refused", *items)
    error = capsys.readouterr().err
    assert status == 2 and re.search(message, error) and error.count("\n") == 1, error
    assert not directory.exists()


def test_an_unconditional_network_is_refused(tmp_path, capsys):
    workdir = make_run(tmp_path / "run")
    status, directory = sample(workdir, "refused", "--guidance", "cfg", "--scale", "2")
    assert status == 2 and not directory.exists()
    assert "needs a network that is told it. This one is not" in capsys.readouterr().err
