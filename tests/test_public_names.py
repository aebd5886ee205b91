"""Every name that the package, or a package within it, says it has is there."""

import importlib
import pkgutil

import pytest

import scoresde

PACKAGES = ["scoresde"] + [
    f"scoresde.{found.name}" for found in pkgutil.iter_modules(scoresde.__path__) if found.ispkg
]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_that_is_named_is_there(name):
    package = importlib.import_module(name)
    names = getattr(package, "__all__", ())
    assert len(set(names)) == len(names)
    assert [n for n in names if not hasattr(package, n)] == []


def test_a_star_imports_it_all():
    names = {}
    exec("from scoresde import *", names)
    assert set(scoresde.__all__) <= names.keys()
    assert all(names[name] is getattr(scoresde, name) for name in scoresde.__all__)
