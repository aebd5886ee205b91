"""What CONTRIBUTING.md says of the repository's files is so."""

import pathlib

ROOT = pathlib.Path(__file__).parent.parent
FOLDERS = ("scoresde", "configs", "experiments", "tests", "docs")


def texts():
    """The programs and pages of the repository, by their path in it."""
    pages = [*ROOT.glob("*.py"), *ROOT.glob("*.md")]
    inner = [path for name in FOLDERS for path in (ROOT / name).rglob("*.*")]
    files = [path for path in [*pages, *inner] if path.suffix in (".py", ".md")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_a_file_is_one_idea_of_at_most_350_lines():
    assert {name for name, text in texts().items() if text.count("\n") > 350} == set()
