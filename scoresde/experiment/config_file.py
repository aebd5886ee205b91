"""Config files: Python files whose `get_config()` returns a ConfigDict."""

import importlib.util
import pathlib
import sys
import traceback
from collections.abc import Sequence

import ml_collections

from scoresde.experiment import overrides
from scoresde.registry import UsageError


def load_config(path: str, items: Sequence[str] = ()) -> ml_collections.ConfigDict:
    """The config that `path` (FILE.py or FILE.py:argument) returns, with the overrides.

    Args:
        path: a Python file with `get_config()`.
        items: of the form --config.KEY=VALUE, see `scoresde.experiment.overrides`.

    Raises:
        UsageError: there is no such file, it fails, or an override does not fit.
    """
    name, colon, argument = path.partition(":")
    file = pathlib.Path(name)
    if not file.is_file():
        raise UsageError(f"There is no config file {name!r}. One is like configs/vp/digits.py.")
    # A config may import its neighbors, and shared ones as `from configs import default`.
    roots = [folder for folder in file.resolve().parents if (folder / "configs").is_dir()]
    added = [str(file.resolve().parent), *map(str, roots[:1])]
    sys.path[:0] = added
    try:
        spec = importlib.util.spec_from_file_location("config", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        config = module.get_config(*[argument] * len(colon))
    except Exception as error:
        line = traceback.extract_tb(error.__traceback__)[-1]
        elsewhere = isinstance(error, SyntaxError) or line.filename == __file__
        where = "" if elsewhere else f"{line.filename}, line {line.lineno}: "
        raise UsageError(
            f"The config file {name!r} fails: {where}{type(error).__name__}: {error}"
        ) from error
    finally:
        for folder in added:
            sys.path.remove(folder)
    if not isinstance(config, ml_collections.ConfigDict):
        raise UsageError(f"get_config() of {name!r} must return an ml_collections.ConfigDict.")
    return overrides.apply(config, items)
