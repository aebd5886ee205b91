"""The files that say which version this is agree."""

import importlib.metadata
import pathlib
import re

import scoresde

ROOT = pathlib.Path(__file__).parent.parent


def test_the_version_is_one_everywhere():
    texts = {
        name: (ROOT / name).read_text() for name in ("setup.py", "CITATION.cff", "CHANGELOG.md")
    }
    assert f'version="{scoresde.__version__}"' in texts["setup.py"]
    assert f"\nversion: {scoresde.__version__}\n" in texts["CITATION.cff"]
    newest = re.findall(r"^## (\d\S*)", texts["CHANGELOG.md"], re.MULTILINE)[0]
    assert newest == scoresde.__version__ == importlib.metadata.version("scoresde")


def test_what_a_contributor_is_pointed_to_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for target in (
        *re.findall(r"\]\(([^)]+)\)", text),
        *re.findall(r"^\| `([\w/]+/)` \|", text, re.M),
    ):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{goal}:" in makefile for goal in re.findall(r"make (\w+)", text))
