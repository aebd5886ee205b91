"""Work directories: what they hold, and conditions for the samples drawn in them."""

import pathlib

import ml_collections
import pytest

from scoresde import jobs, runs
from scoresde.experiment import build, load_config
from scoresde.registry import UsageError

CONFIG = str(pathlib.Path(__file__).parent.parent.parent / "configs/vp/digits.py")


@pytest.mark.parametrize("labels", [False, True])
def test_a_grid_shows_the_classes_in_turn(labels):
    config = load_config(CONFIG, [f"--config.data.labels={labels}"])
    condition = runs.condition_in_turn(build(config), 12)
    if not labels:
        assert condition is None
    else:
        assert condition["label"].tolist() == [*range(10), 0, 1]


def test_neither_half_a_config_nor_hidden_files_hold_a_directory(tmp_path):
    (tmp_path / ".config.json.x1").write_text("{")
    for left_by_file_managers in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / left_by_file_managers).touch()
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert jobs.result_directory(tmp_path, overwrite=False) == tmp_path
    runs.save_config(tmp_path, ml_collections.ConfigDict({"seed": 1}))
    assert (tmp_path / "config.json").exists()


def test_results_go_where_they_can_be_written(tmp_path, monkeypatch):
    assert jobs.result_directory(tmp_path / "a" / "b", overwrite=False) == tmp_path / "a" / "b"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is no directory"):
        jobs.result_directory(tmp_path / "file", overwrite=True)
    monkeypatch.setattr("os.access", lambda *_: False)  # the superuser may write everywhere
    with pytest.raises(UsageError, match="can be written to"):
        jobs.result_directory(tmp_path / "a" / "b", overwrite=True)


def test_a_config_without_a_later_key_is_that_of_its_default(tmp_path):
    """A run of an earlier version goes on."""
    earlier = {"data": {"source": "digits"}, "training": {"batch_size": 8}}
    runs.save_config(tmp_path, ml_collections.ConfigDict(earlier))
    later = ml_collections.ConfigDict(earlier)
    later.data.condition, later.training.averages = (), {}
    runs.save_config(tmp_path, later)
    later.training.averages = {"slow": {"name": "ema", "rate": 0.9}}
    with pytest.raises(UsageError, match=r"averages\.slow\.name is None there, 'ema' here and 1"):
        runs.save_config(tmp_path, later)
    runs.save_config(tmp_path, ml_collections.ConfigDict(earlier))
    later.training.averages, later.data.condition = {}, ("mask",)
    with pytest.raises(UsageError, match=r"config\.data\.condition is \[\] there, \['mask'\] here"):
        runs.save_config(tmp_path, later)
