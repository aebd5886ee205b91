"""What CONTRIBUTING.md says of the repository's files is so."""

import ast
import collections
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
TYPED = ("load_config", "saved_config", "save_config", "evaluate")
FOLDERS = ("scoresde", "configs", "experiments", "tests", "docs")


def texts():
    """The programs and pages of the repository, by their path in it."""
    pages = [*ROOT.glob("*.py"), *ROOT.glob("*.md")]
    inner = [path for name in FOLDERS for path in (ROOT / name).rglob("*.*")]
    files = [path for path in [*pages, *inner] if path.suffix in (".py", ".md")]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in files}


def test_a_file_is_one_idea_of_at_most_350_lines():
    assert {name for name, text in texts().items() if text.count("\n") > 350} == set()


def test_a_class_has_a_name_of_its_own_and_so_have_the_words_people_type():
    where = collections.defaultdict(list)
    for name, text in texts().items():
        if name.startswith("scoresde/") and name.endswith(".py"):
            for node in ast.parse(text).body:
                words = isinstance(node, ast.FunctionDef) and node.name in TYPED
                if words or isinstance(node, ast.ClassDef):
                    where[node.name].append(name)
    twice = {name: files for name, files in where.items() if len(files) > 1}
    assert twice.keys() == {"EDM"}, twice  # Karras et al. named all of theirs so


BRITISH = re.compile(
    "centre|colour|behaviour|neighbour|favour|grey|labell|modell|travell|licence|learnt|spelt"
    r"|per cent|(?:al|an|at|er|et|gn|im|in|or)is(?:e[ds]?|ing|ations?)\b",
    re.IGNORECASE,
)


def test_the_spelling_is_american():
    # What is saved with a trained schedule keeps its name.
    saved = {"scoresde/sdes/learned.py", "tests/test_learned_schedule.py"}
    here = str(pathlib.Path(__file__).relative_to(ROOT))
    found = {
        (name, word)
        for name, text in texts().items()
        for word in BRITISH.findall(text)
        if name != here and not (name in saved and word == "centre")
    }
    assert found == set()
