"""Command-line arguments: those that commands share, and the config that they name."""

import argparse
import importlib.util
import pathlib
import sys
import traceback

import ml_collections

from scoresde.cli import overrides
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


def parse(parser: Parser, argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command's own arguments, and the --config.KEY=VALUE among them.

    Raises:
        UsageError: an argument that is neither.
    """
    arguments, rest = parser.parse_known_args(argv)
    items = [item for item in rest if item.startswith("--config.")]
    for item in items:
        if "=" not in item:
            raise UsageError(f"{item} has no value. Write {item}=VALUE, with the =.")
    for item in rest:
        if item not in items:
            command = " ".join([parser.prog, *filter(None, [getattr(arguments, "command", None)])])
            raise UsageError(f"Unknown argument {item!r}. See: {command} --help")
    return arguments, items


def result_name(text: str) -> str:
    """The --name of results: a directory's own name, not a path to elsewhere."""
    if not text or text in (".", "..") or "/" in text or "\\" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name: leave out / and \\")
    return text


def seed(text: str) -> int:
    """The --seed of random keys, which have 32 bits: others would be those of a smaller seed."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not 0 .. 2^32 - 1")
    return int(text)


def add_workdir(parser: argparse.ArgumentParser) -> None:
    """The argument every command shares."""
    parser.add_argument(
        "--workdir", type=pathlib.Path, required=True, metavar="DIR", help="directory of the run"
    )


def config_from_file(path: str, items: list[str]) -> ml_collections.ConfigDict:
    """The config that `path` (FILE.py or FILE.py:argument) returns, with the overrides.

    Args:
        path: a Python file with `get_config()`.
        items: of the form --config.KEY=VALUE.

    Raises:
        UsageError: there is no such file, it fails, or an override does not fit.
    """
    name, colon, argument = path.partition(":")
    file = pathlib.Path(name)
    if not file.is_file():
        raise UsageError(f"There is no config file {name!r}. One is like configs/vp/digits.py.")
    # A config may import its neighbours, and shared ones as `from configs import default`.
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


def config_from_workdir(workdir: pathlib.Path, items: list[str]) -> ml_collections.ConfigDict:
    """The config recorded in `workdir`, with the overrides.

    Raises:
        UsageError: there is no run, or an override does not fit.
    """
    return overrides.apply(workdirs.load_config(workdir), items)
