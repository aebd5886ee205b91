"""What a run's record says of the checkout, the versions and the devices."""

import json
import subprocess

import flax
import jax
import ml_collections
import pytest

from scoresde import experiment, runs
from scoresde.runs import environment as module
from scoresde.runs.environment import environment, revision_words, with_environment

CONFIG = {"data": {"source": "digits"}, "training": {"batch_size": 8}}


def git(folder, *arguments):
    who = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository of one file that is the current directory."""
    root = tmp_path / "mine"
    root.mkdir()
    git(root, "init", "--quiet")
    (root / "config.py").write_text("1")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "one")
    monkeypatch.chdir(root)
    return root


def test_the_revision_of_the_current_directory_and_whether_it_is_changed(repository):
    revision = git(repository, "rev-parse", "HEAD")
    assert environment()["directory"] == {"revision": revision, "dirty": False}
    (repository / "untracked").write_text("")  # as the runs are
    assert not environment()["directory"]["dirty"]
    (repository / "config.py").write_text("2")
    assert environment()["directory"] == {"revision": revision, "dirty": True}
    assert revision_words(environment()["directory"]) == f"{revision[:12]}, with changes"


def test_a_package_installed_in_somebody_s_repository_has_not_its_revision(repository, monkeypatch):
    installed = repository / ".venv" / "scoresde"
    installed.mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(installed / "environment.py"))
    found = environment()
    assert found["scoresde"] is None and found["directory"] is not None
    (installed / "environment.py").touch()
    git(repository, "add", "--force", ".")
    found = environment()  # now it is its checkout, and the current directory's the same
    assert found["scoresde"]["dirty"] and found["directory"] is None


def test_without_git_or_a_repository_there_is_no_revision(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert environment()["directory"] is None
    monkeypatch.setenv("PATH", str(tmp_path))
    found = environment()
    assert found["scoresde"] is found["directory"] is None
    assert revision_words(None) == "not a git checkout"
    assert found["versions"]["jax"] == jax.__version__
    assert found["versions"]["flax"] == flax.__version__
    assert found["devices"] == {"cpu": len(jax.devices())}
    assert capfd.readouterr() == ("", "")


def test_environments_are_listed_once_and_the_newest_is_last():
    a, b = {"versions": "a"}, {"versions": "b"}
    assert with_environment([], a) == with_environment([a], a) == [a]
    assert with_environment([a], b) == [a, b] and with_environment([a, b], a) == [b, a]


def test_a_run_records_its_environments_beside_its_config(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))  # quicker without git
    config, path = ml_collections.ConfigDict(CONFIG), tmp_path / "run" / "config.json"
    runs.save_config(path.parent, config)
    runs.save_config(path.parent, config)
    written = json.loads(path.read_text())
    assert written == {**CONFIG, "environment": [environment()]}
    assert runs.saved_config(path.parent) == config  # which has no such section
    monkeypatch.setattr(module, "__version__", "later")
    runs.save_config(path.parent, config)
    assert [e["versions"]["scoresde"] for e in experiment.read_environments(path)][1:] == ["later"]
    assert experiment.training_differences(runs.saved_config(path.parent), config) == []


def test_a_config_of_before_there_were_environments_is_read(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    assert experiment.read_environments(path) == []
    assert runs.saved_config(tmp_path) == ml_collections.ConfigDict(CONFIG)
    runs.save_config(tmp_path, ml_collections.ConfigDict(CONFIG))
    assert len(experiment.read_environments(path)) == 1
