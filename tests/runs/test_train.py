"""What training says of itself and of the samples that it draws on the way."""

import ml_collections
import numpy as np
import pytest
from PIL import Image
from tiny_model import BARE, MEAN

from scoresde import runs
from scoresde.experiment import overrides
from scoresde.registry import UsageError
from scoresde.training import read_log

# One step of the adaptive solver does not get there.
BROKEN = ["--config.sampler.max_steps=1"]


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The work directory of a run whose samples are not finite, and what it said."""
    workdir = tmp_path_factory.mktemp("said") / "run"
    with pytest.MonkeyPatch.context() as patch:
        lines = []
        patch.setattr("tqdm.tqdm.write", lambda text, file: lines.append(text))
        runs.train(overrides.apply(ml_collections.ConfigDict(BARE), BROKEN), workdir)
    return workdir, lines


def test_it_says_first_what_it_does_how_long_and_where(said):
    workdir, lines = said
    assert lines[0] == (
        "Training 4 parameters on 128 images to step 2, batches of 8 on 1 device(s); checkpoints, "
        f"the log and samples go to {workdir}."
    )
    # Then what it is too short for, see tests/experiment/test_remarks.py.
    assert "learning rate still rises" in lines[1] and "will be what the run began" in lines[2]
    assert lines[3] == "compiling the train step ..."
    assert lines[4].startswith("compiled the train step in")


def test_a_distance_of_samples_is_logged_on_the_way(tmp_path):
    items = ["--config.training.eval_fd_every=2", "--config.training.eval_fd_num=8"]
    items += ["--config.training.eval_features=tiny_model:Pixels", "--config.training.num_steps=4"]
    config = ml_collections.ConfigDict(BARE)
    config.training.sample_every = 0
    runs.train(overrides.apply(config, items), tmp_path / "run")
    logged = {row["step"]: row["eval_fd"] for row in read_log(tmp_path / "run") if "eval_fd" in row}
    assert list(logged) == [2, 4] and all(0 < value < 1 for value in logged.values())
    wrong = overrides.apply(config, [*items[:2], "--config.training.eval_features=pixel"])
    with pytest.raises(UsageError, match="Unknown feature extractor 'pixel'"):
        runs.train(wrong, tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists()


def test_samples_in_a_grid_that_are_not_finite_are_warned_of_and_gray(said):
    workdir, lines = said
    path = workdir / "samples" / "step_00000002.png"
    where = lines.index("step 2: drawing 64 samples ...")
    assert lines[where + 1] == f"Warning: 64 of the 64 samples in {path} are not finite (gray)."
    pixels = np.asarray(Image.open(path))
    assert pixels.min() > 100 and pixels.max() < 200


def test_a_grid_that_cannot_be_drawn_does_not_stop_training(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("disk full")

    lines = []
    monkeypatch.setattr("tqdm.tqdm.write", lambda text, file: lines.append(text))
    monkeypatch.setattr("scoresde.data.pictures.save_grid", refuse)
    runs.train(ml_collections.ConfigDict(BARE), tmp_path)
    path = tmp_path / "samples" / "step_00000002.png"
    assert f"Warning: {path} was not drawn (disk full); no numbers are missing." in lines
    assert (tmp_path / "checkpoints" / "2").is_dir()


def test_steps_start_from_the_parameters_that_the_network_projects(tmp_path):
    config = {**BARE, "network": "tiny_model:Halved", "optimizer": {"learning_rate": 0.0}}
    config["training"] = {**BARE["training"], "sample_every": 0, "eval_every": 0}
    state = runs.train(config, tmp_path)
    np.testing.assert_allclose(state.params["mean"], MEAN / 4)  # twice, in two steps
