"""Published configs on the command line."""

import subprocess
import sys

from scoresde.cli import main
from scoresde.experiment import load_config


def test_they_are_listed_with_a_line_each_without_importing_jax(capsys):
    code = (
        "import sys; from scoresde.cli import main; main(['configs']); print('jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *lines, imported = done.stdout.splitlines()
    assert imported == "False" and len(lines) > 50
    (line,) = [line for line in lines if line.startswith("vp/digits ")]
    assert line.endswith(
        "A small DDPM++ (vp) on the embedded handwritten digits: minutes on two cores."
    )
    assert main(["configs", "--config.seed=1"]) == 2
    assert "depends on no config" in capsys.readouterr().err


def test_one_is_printed_as_a_file_that_is_a_config_again(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["config", "vp/digits", "--config.seed=8"]) == 0
    (tmp_path / "mine.py").write_text(capsys.readouterr().out)
    assert load_config("mine.py").seed == 8
    assert main(["config", "vp/digts"]) == 2
    assert "Did you mean 'vp/digits'?" in capsys.readouterr().err


def test_a_config_is_given_by_its_place_or_as_other_commands_have_it(capsys):
    assert main(["config", "vp/digits"]) == 0
    named = capsys.readouterr().out
    assert main(["config", "--config", "vp/digits"]) == 0
    assert capsys.readouterr().out == named
    for given in ([], ["vp/digits", "--config", "vp/digits"]):
        assert main(["config", *given]) == 2
        assert "Give one config" in capsys.readouterr().err


def test_every_published_config_has_words_of_its_own(capsys):
    assert main(["configs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line.split(maxsplit=1)) == 2 for line in lines)
