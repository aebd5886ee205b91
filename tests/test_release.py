"""The files that say which version this is agree."""

import importlib.metadata
import pathlib
import re
import runpy

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


def long_description(monkeypatch):
    """What setup.py gives a package index."""
    given = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path("setup.py")
    return given["long_description"]


def test_a_package_index_shows_pictures_and_links_by_absolute_addresses(monkeypatch):
    monkeypatch.setenv("SCORESDE_FILES", "https://files.example/v1/")
    text = long_description(monkeypatch)
    pictures = re.findall(r'<img src="([^"]+)"', text)
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert pictures and links
    for address in (*pictures, *links):
        assert address.startswith("https://"), address
        path = address.removeprefix("https://files.example/v1/")
        assert path == address or (ROOT / path).exists(), address
    monkeypatch.delenv("SCORESDE_FILES")
    without = long_description(monkeypatch)
    assert "<img" not in without and not re.findall(r"\]\((?!https?:|#)", without)


def test_what_a_contributor_is_pointed_to_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for target in (
        *re.findall(r"\]\(([^)]+)\)", text),
        *re.findall(r"^\| `([\w/]+/)` \|", text, re.M),
    ):
        assert (ROOT / target).exists(), target
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{goal}:" in makefile for goal in re.findall(r"make (\w+)", text))
