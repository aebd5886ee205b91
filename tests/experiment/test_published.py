"""Published configs: their names, what is said of each, and what stands for a wrong one."""

import pathlib

import pytest

from scoresde.published import CONFIGS, summary

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_every_config_of_the_repository_has_its_path_for_a_name_and_a_line():
    files = CONFIGS.files()
    folders = [path for path in (ROOT / "configs").iterdir() if path.is_dir()]
    assert len(files) > 50
    for name, file in files.items():
        assert file.samefile(ROOT / "configs" / f"{name}.py") and summary(file)
        assert file.relative_to(ROOT / "configs").parts[0] in [path.name for path in folders]
    assert "default" not in files  # what they share is no experiment


@pytest.mark.parametrize(
    "wrong, suggested",
    [
        ("vp/digit", "'vp/digits'"),
        ("vp/digits.py", "'vp/digits'"),
        ("configs/vp/digits.py", "'vp/digits'"),
        ("configs\\vp\\digits.py", "'vp/digits'"),
        ("emoji32", "'vp/emoji32'"),
        (
            "digits",
            "'classifier/digits' or 'edm2/digits' or 'improved_diffusion/digits' or "
            "'subvp/digits' or 'vdm/digits' or 've/digits' or 'vp/digits'",
        ),
    ],
)
def test_what_is_like_a_name_is_suggested(wrong, suggested):
    assert CONFIGS.suggestion(wrong) == f" Did you mean {suggested}?"


def test_nothing_is_suggested_for_what_is_like_none():
    assert CONFIGS.suggestion("thesis.tex") == ""
