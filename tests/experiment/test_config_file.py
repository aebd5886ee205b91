"""Config files: by path, by name, and what is wrong with one in a line."""

import importlib
import pathlib
import sys

import pytest

from scoresde.experiment import load_config
from scoresde.registry import UsageError


def test_a_published_config_has_a_name_wherever_one_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config("vp/digits", ["--config.seed=3"])
    assert config.data.source.name == "digits" and config.seed == 3


def test_a_file_of_ones_own_builds_on_the_published_ones_and_its_neighbors(tmp_path):
    (tmp_path / "sizes.py").write_text("WIDTH = 8\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "from scoresde.configs.vp import digits\n"
        "import sizes\n"
        "def get_config(seed='1'):\n"
        "    config = digits.get_config()\n"
        "    config.network.nf, config.seed = sizes.WIDTH, int(seed)\n"
        "    return config\n"
    )
    config = load_config(file)  # a pathlib.Path
    assert config.network.nf == 8 and config.seed == 1
    assert load_config(f"{file}:5").seed == 5


@pytest.mark.parametrize("is_package", [False, True])
def test_a_file_gets_the_helpers_of_its_own_configs_folder(is_package, tmp_path, monkeypatch):
    """Not those of the folder we are in, nor of the file before: each has its `configs`."""
    for name, seed in (("here", 1), ("old", 2), ("older", 3)):
        folder = tmp_path / name / "configs"
        (folder / "vp").mkdir(parents=True)
        if is_package or name == "here":
            (folder / "__init__.py").write_text(f"PACKAGE = {seed}\n")
        (folder / "datasets.py").write_text(f"SEED = {seed}\n")
        (folder / "vp" / "shared.py").write_text("from configs.datasets import SEED\n")
        (folder / "vp" / "mine.py").write_text(
            "from configs import datasets\n"
            "def get_config():\n"
            "    from configs.vp import shared\n"
            "    return {'seed': datasets.SEED, 'shared': shared.SEED}\n"
        )
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("sys.path", [*sys.path, ""])  # as the command line has it
    ours = importlib.import_module("configs")
    try:
        for name, seed in (("old", 2), ("here", 1), ("older", 3)):
            config = load_config(tmp_path / name / "configs" / "vp" / "mine.py")
            assert config.to_dict() == {"seed": seed, "shared": seed}
        assert sys.modules["configs"] is ours and "configs.datasets" not in sys.modules
    finally:
        del sys.modules["configs"]


def test_a_file_goes_before_a_published_name_and_needs_no_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vp").mkdir()
    (tmp_path / "vp" / "digits").write_text("def get_config():\n    return {'seed': 7}\n")
    assert load_config("vp/digits").to_dict() == {"seed": 7}


@pytest.mark.parametrize(
    "text, message",
    [
        ("x = 1", r"'config.py' has no function get_config\(\)"),
        ("get_config = 3", r"'config.py' has no function get_config\(\)"),
        ("def get_config():\n    return 3", "or a dictionary, not 3"),
        ("def get_config():\n    pass", "or a dictionary, not None"),
        ("def get_config(which):\n    return {}", "missing 1 required positional argument"),
        ("def get_config():\n    return {}[1]", "config.py, line 2: KeyError: 1"),
        ("import nothing_of_that_name", "line 1: ModuleNotFoundError"),
        ("def get_config(", "SyntaxError"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("config.py").write_text(f"{text}\n")
    with pytest.raises(UsageError, match=message) as error:
        load_config("config.py")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, items, message",
    [
        ("vp/digit", [], r"published config 'vp/digit'\. Did you mean 'vp/digits'\?"),
        ("configs/no.py", [], r"no config file 'configs/no.py'\. `scoresde configs` lists"),
        (".", [], "'.' is a folder, and no config file or published config"),
        (None, [], "takes a config file, or the name of a published config, not None"),
        ({"seed": 1}, [], "not {'seed': 1}"),
        ("vp/digits", "--config.seed=1", "Overrides are a list"),
        ("vp/digits", [1], "Overrides are a list"),
        ("vp/digits", ["--config.seed"], "has no value"),
    ],
)
def test_what_is_no_config_is_said_in_one_line(name, items, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message) as error:
        load_config(name, items)
    assert "\n" not in str(error.value)
