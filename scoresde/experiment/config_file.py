"""Config files: Python files whose `get_config()` returns the sections of an experiment."""

import contextlib
import importlib.util
import os
import pathlib
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import ml_collections

from scoresde.experiment import overrides
from scoresde.published import CONFIGS, Folder
from scoresde.registry import UsageError, shown


def load_config(
    name: str | os.PathLike, items: Sequence[str] = (), published: Folder = CONFIGS
) -> ml_collections.ConfigDict:
    """The config that a file, or a published one, returns, with the overrides.

        load_config("vp/digits", ["--config.training.num_steps=500"])

    Args:
        name: a Python file with `get_config()`, FILE.py or FILE.py:argument, or the name of a
            published config; `scoresde configs` lists these.
        items: of the form --config.KEY=VALUE, see `scoresde.experiment.overrides`.
        published: the configs that have names.

    Raises:
        UsageError: there is no such file or name, the file fails or returns no config, or an
            override does not fit.
    """
    if not isinstance(name, str | os.PathLike):
        raise UsageError(
            "load_config takes a config file, or the name of a published config, not "
            f"{shown(name)}."
        )
    if isinstance(items, str) or not all(isinstance(item, str) for item in items):
        raise UsageError(f"Overrides are a list, as ['--config.seed=1'], and not {shown(items)}.")
    name, colon, argument = os.fspath(name).partition(":")
    file = _find(name, published)
    with _importing_neighbors(file):
        config = _run(file, name, [argument] * len(colon))
    if not isinstance(config, ml_collections.ConfigDict):
        if not isinstance(config, Mapping):
            raise UsageError(
                f"get_config() of {name!r} must return an ml_collections.ConfigDict or a "
                f"dictionary, not {shown(config)}."
            )
        config = ml_collections.ConfigDict(config)
    return overrides.apply(config, items)


def _find(name: str, published: Folder) -> pathlib.Path:
    file = pathlib.Path(name)
    if file.is_file():
        return file
    if (found := published.files().get(name)) is not None:
        return found
    kind = "config file" if file.suffix == ".py" else "config file or published config"
    what = (
        f"{name!r} is a folder, and no {kind}."
        if file.is_dir()
        else f"There is no {kind} {name!r}."
    )
    raise UsageError(
        f"{what}{published.suggestion(name)} `scoresde configs` lists the published ones."
    )


@contextlib.contextmanager
def _importing_neighbors(file: pathlib.Path) -> Iterator[None]:
    """A config may import what is beside it, or in a folder configs/ above as `configs.NAME`."""
    roots = [folder for folder in file.resolve().parents if (folder / "configs").is_dir()][:1]
    added = [str(file.resolve().parent), *map(str, roots)]
    others = {name: sys.modules.pop(name) for name in _configs_modules()} if roots else {}
    for folder in roots:
        # A folder without __init__.py would come after a package in the folder we are in.
        if not (folder / "configs" / "__init__.py").is_file():
            module = ModuleType("configs")
            module.__path__ = [str(folder / "configs")]
            sys.modules["configs"] = module
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)
        if roots:  # the next file has a folder of its own
            for name in _configs_modules():
                del sys.modules[name]
            sys.modules.update(others)


def _configs_modules() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "configs"]


def _run(file: pathlib.Path, name: str, arguments: list[str]) -> Any:
    """What `get_config` of the file returns; whatever goes wrong there is a UsageError."""
    try:
        # A loader of its own, since a config file need not be called .py.
        loader = importlib.machinery.SourceFileLoader("config", str(file))
        module = ModuleType("config")
        module.__file__ = str(file)
        loader.exec_module(module)
        get_config = getattr(module, "get_config", None)
        if not callable(get_config):
            raise UsageError(
                f"The config file {name!r} has no function get_config(), which returns the config."
            )
        return get_config(*arguments)
    except UsageError:
        raise
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        elsewhere = isinstance(error, SyntaxError) or line.filename == __file__
        where = "" if elsewhere else f"{line.filename}, line {line.lineno}: "
        raise UsageError(
            f"The config file {name!r} fails: {where}{type(error).__name__}: {error}"
        ) from error
