"""Command-line arguments: argparse for the command's own, ml_collections for the config's."""

import argparse
import pathlib
import sys

import ml_collections

from scoresde.cli import workdir as workdirs
from scoresde.registry import UsageError


class Parser(argparse.ArgumentParser):
    """Reports a mistake as every other one is reported: one line, no usage text.

    Options are not abbreviated: --over may be --overwrite today and something else tomorrow.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def error(self, message):
        raise UsageError(f"{message[0].upper()}{message[1:]}. See: {self.prog} --help")


def result_name(text: str) -> str:
    """The --name of results: a directory's own name, not a path to elsewhere."""
    if not text or text in (".", "..") or "/" in text or "\\" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: leave out / and \\")
    return text


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """The argument every command shares."""
    parser.add_argument(
        "--workdir", type=pathlib.Path, required=True, metavar="DIR", help="directory of the run"
    )


def _override(define, overrides: list[str], name: str) -> ml_collections.ConfigDict:
    from absl import flags

    values = flags.FlagValues()
    # ml_collections finds the overrides in sys.argv, whatever it is asked to parse, and those of a
    # dictionary already when it is defined.
    argv, sys.argv = sys.argv, ["scoresde", *overrides]
    try:
        define(values)
        values(sys.argv, known_only=False)
        return values[name].value
    except flags.Error as error:
        raise UsageError(str(error).replace("\n", " ")) from None
    except (AttributeError, KeyError) as error:
        # A misspelt key; ml_collections suggests the nearest.
        message = error.args[0] if error.args else str(error)
        raise UsageError(f"{str(message).strip()} (in {' '.join(overrides)})") from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"{' '.join(overrides)}: {error}") from None
    finally:
        sys.argv = argv


def config_from_file(path: str, overrides: list[str]) -> ml_collections.ConfigDict:
    """The config that `path` (FILE.py or FILE.py:argument) returns, with the overrides.

    Args:
        path: a Python file with `get_config()`.
        overrides: of the form --config.key=value.

    Raises:
        UsageError: there is no such file, it fails, or an override does not fit.
    """
    from ml_collections import config_flags

    file = pathlib.Path(path.partition(":")[0])
    if not file.is_file():
        raise UsageError(f"There is no config file {str(file)!r}.")

    def define(values):
        config_flags.DEFINE_config_file("config", flag_values=values, lock_config=True)

    # A config may import its neighbours, and shared ones as `from configs import default`.
    roots = [folder for folder in file.resolve().parents if (folder / "configs").is_dir()]
    added = [str(file.resolve().parent), *map(str, roots[:1])]
    sys.path[:0] = added
    try:
        return _override(define, [f"--config={path}", *overrides], "config")
    except ImportError as error:
        raise UsageError(f"The config file {str(file)!r} fails: {error}.") from error
    finally:
        for folder in added:
            sys.path.remove(folder)


def config_from_workdir(workdir: pathlib.Path, overrides: list[str]) -> ml_collections.ConfigDict:
    """The config recorded in `workdir`, with the overrides.

    Raises:
        UsageError: there is no run, or an override does not fit.
    """
    from ml_collections import config_flags

    config = workdirs.load_config(workdir)

    def define(values):
        config_flags.DEFINE_config_dict("config", config, flag_values=values, lock_config=True)

    return _override(define, overrides, "config")
