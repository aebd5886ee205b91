"""A classifier of noisy images as a run: trained, stopped, measured, and guiding another run."""

import itertools
import json
import re
import shutil

import jax
import ml_collections
import numpy as np
import pytest
import tiny_classes
from tiny_model import BARE

from scoresde import runs, training
from scoresde.cli import main
from scoresde.experiment import as_json, build
from scoresde.registry import UsageError
from scoresde.runs import classifier as classifiers
from scoresde.runs import save_config


def config_of(**training_changes):
    config = ml_collections.ConfigDict(tiny_classes.CLASSIFIER)
    config.training.update(training_changes)
    return config


def write(path, config):
    path.write_text(f"def get_config():\n    return {as_json(config)!r}\n")
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The work directory of a classifier, and what the command printed."""
    directory = tmp_path_factory.mktemp("classifier")
    path = write(directory / "config.py", config_of(checkpoint_every=4, keep=None))
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(map(str, words))))
        arguments = ["--config", path, "--workdir", str(directory / "run")]
        assert main(["train-classifier", *arguments]) == 0
    return directory / "run", lines


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A work directory of an unconditional model of the same images, at the steps 0 and 1."""
    workdir = tmp_path_factory.mktemp("model") / "run"
    config = ml_collections.ConfigDict(BARE)
    config.data.source = "tiny_classes:source"
    config.sampler = {"name": "ddim", "steps": 4}
    experiment = build(config)
    params = experiment.init(jax.random.key(0))
    save_config(workdir, config)
    with training.Checkpoints(workdir / "checkpoints", keep=None) as checkpoints:
        for step in (0, 1):
            key, averages = jax.random.key(1), experiment.averages
            moved = jax.tree.map(lambda leaf, step=step: leaf - 0.3 * step, params)
            checkpoints.save(
                step, training.create_state(key, moved, experiment.optimizer, averages)
            )
    return workdir


def test_the_accuracy_by_the_noise_is_printed_and_written(trained):
    workdir, lines = trained
    summary = json.loads((workdir / "classifier/accuracy.json").read_text())
    levels = summary["levels"]
    assert len(levels) == 8 and summary["images"] == 128 and summary["step"] == 8
    ends = [level["log_snr"] for level in levels]
    assert all(low[1] == high[0] for low, high in itertools.pairwise(ends))
    np.testing.assert_allclose([ends[0][0], ends[-1][1]], [-10.05, 12.0], atol=0.01)
    # Guessing where nothing is seen, certainty where all is; d' = 2 m / s at no noise.
    assert abs(levels[0]["accuracy"] - 0.5) < 4 * 0.5 / 128**0.5
    assert levels[-1]["accuracy"] == 1.0 and levels[-1]["cross_entropy"] < 0.01
    np.testing.assert_allclose(levels[0]["cross_entropy"], np.log(2), rtol=1e-2)
    assert (workdir / "classifier/accuracy.png").exists()
    rows = [line for line in lines if " .. " in line]
    assert len(rows) == 8 and "1.000 ± 0.000" in rows[-1]


def test_a_run_that_was_stopped_is_the_same_to_the_bit(trained, tmp_path):
    workdir, _ = trained
    copy_of_a_step(workdir, tmp_path / "copy", 4)
    state, summary = classifiers.train_classifier(
        config_of(checkpoint_every=4, keep=None), tmp_path / "copy"
    )
    whole = runs.TrainedModel(workdir).params(8, None)
    jax.tree.map(np.testing.assert_array_equal, state.params, whole)
    assert summary == json.loads((workdir / "classifier/accuracy.json").read_text())


def copy_of_a_step(workdir, copy, step):
    """A copy of a run as it was at a step."""
    shutil.copytree(workdir, copy)
    shutil.rmtree(copy / "classifier")
    for folder in (copy / "checkpoints").iterdir():
        if folder.name.isdecimal() and int(folder.name) > step:
            shutil.rmtree(folder)


def sample(workdir, name, *items):
    arguments = ["sample", "--workdir", str(workdir), "--num", "40", "--name", name, *items]
    status = main([str(argument) for argument in arguments])
    directory = workdir / "samples" / name
    if status:
        return status, directory
    record = json.loads((directory / "samples.json").read_text())
    return record, np.load(directory / "samples.npz")


def test_it_guides_the_samples_of_another_run(trained, model):
    workdir, _ = trained
    guide = ["--guidance", "classifier", "--classifier"]
    record, guided = sample(model, "guided", *guide, workdir, "--scale", 2)
    guided_by = {"name": "classifier", "scale": 2.0, "classifier": f"{workdir}@8@ema"}
    assert record["guidance"] == [guided_by]
    labels = guided["labels"]
    np.testing.assert_array_equal(labels, np.arange(40) % 2)
    levels = guided["samples"].mean((1, 2, 3))
    assert levels[labels == 1].mean() > levels[labels == 0].mean() + 0.5
    _, plain = sample(model, "plain")
    _, neutral = sample(model, "neutral", *guide, workdir, "--scale", 0)
    np.testing.assert_array_equal(neutral["samples"], plain["samples"])
    assert "labels" not in plain
    _, bright = sample(model, "one", *guide, f"{workdir}@4", "--scale", 2, "--label", "bright")
    assert bright["labels"].tolist() == [1] * 40


def test_a_weaker_checkpoint_guides_by_what_it_lacks(model):
    record, weak = sample(
        model, "w", "--guidance", "autoguidance", "--weak", f"{model}@0", "--scale", 3
    )
    assert record["guidance"][0]["weaker"] == f"{model}@0@ema"
    _, plain = sample(model, "plain_w")
    # The mean of step 1 is 0.3 below that of step 0, and the guided one twice as much below it.
    assert weak["samples"].mean() < plain["samples"].mean()
    _, same = sample(model, "same", "--guidance", "autoguidance", "--weak", model, "--scale", 3)
    np.testing.assert_array_equal(same["samples"], plain["samples"])


@pytest.mark.parametrize(
    "items, message",
    [
        (["--guidance", "classifier", "--scale", "1"], "needs one: --classifier DIR"),
        (["--guidance", "autoguidance", "--scale", "1"], "away from a weaker model: --weak"),
        (["--classifier", "CLASSIFIER"], "say which, as --guidance classifier"),
        (["--weak", "CLASSIFIER"], "--guidance autoguidance"),
        (["--guidance", "classifier", "--classifier", "CLASSIFIER"], "needs the option 'scale'"),
        (["--guidance", "classifier", "--scale", "1", "--classifier", "MODEL"], "no classifier"),
        (
            ["--guidance", "classifier", "--scale", "1", "--classifier", "CLASSIFIER@3"],
            "no checkpoint .*/3; the steps there: 4, 8",
        ),
        (
            ["--guidance", "classifier", "--scale", "1", "--classifier", "CLASSIFIER@last"],
            "no average 'last'",
        ),
        (
            ["--guidance", "classifier", "--scale", "1", "--classifier", "CLASSIFIER@4@raw@8"],
            "with @NAME behind it an average",
        ),
        (["--guidance", "autoguidance", "--scale", "1", "--weak", "CLASSIFIER"], "of a classifier"),
        (["--guidance", "pigdm"], "by an observation: give picture files"),
        (["--label", "dark"], "labels=True, or a classifier"),
    ],
)
def test_a_mistake_is_a_line_and_nothing_is_written(items, message, trained, model, capsys):
    names = {"CLASSIFIER": str(trained[0]), "MODEL": str(model)}
    items = [
        names.get(item.partition("@")[0], item) + "".join(item.partition("@")[1:])
        if item.partition("@")[0] in names
        else item
        for item in items
    ]
    status, directory = sample(model, "refused", *items)
    error = capsys.readouterr().err
    assert status == 2 and re.search(message, error) and error.count("\n") == 1, error
    assert not directory.exists()


def test_a_classifier_of_other_noise_or_images_is_refused(trained, model):
    theirs, ours = (runs.TrainedModel(path).experiment for path in (trained[0], model))
    classifiers.check_same("C", theirs, ours)
    for changes, message in (
        ({"sde": "subvp"}, "C is of the process VP.*and the samples are of SubVP"),
        ({"sde": {"name": "vp", "beta_max": 10.0}}, "beta_max=10.0"),
        ({"data": {**BARE["data"], "data_range": (0.0, 1.0)}}, "data in the range"),
    ):
        with pytest.raises(UsageError, match=message):
            classifiers.check_same("C", theirs, build({**BARE, **changes}))
    with pytest.raises(UsageError, match="sample --workdir OTHER --guidance classifier"):
        runs.Run(trained[0]).generate(4)
    with pytest.raises(UsageError, match="trains no classifier"):
        classifiers.train_classifier(BARE, model.parent / "other")
