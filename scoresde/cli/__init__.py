"""The command line: `scoresde train | sample | likelihood | ...`."""

import argparse
import importlib
import keyword
import os
import sys
import traceback
import warnings

from scoresde import __version__, configure
from scoresde.cli import distributed
from scoresde.cli.arguments import Parser, parse
from scoresde.registry import UsageError, UsageWarning, see_current_folder

# Each is a module of this package with `add_arguments(parser)`, `run(arguments, overrides)` and a
# docstring whose first line says what it does.
COMMANDS = (
    "prepare",
    "train",
    "train-dequantizer",
    "train-classifier",
    "ema",
    "sample",
    "restore",
    "inpaint",
    "colorize",
    "edit",
    "likelihood",
    "evaluate",
    "stats",
    "configs",
    "config",
    "list",
    "import",
    "describe",
    "env",
)

_WITHOUT_CONFIG = ("configs", "env", "list", "prepare")
_WITHOUT_PROGRAMS = ("configs", "list")  # which need not wait for JAX


def _module(command: str):
    """The command's module; hyphens become underscores, and Python's own words take one."""
    name = command.replace("-", "_") + "_" * keyword.iskeyword(command)
    return importlib.import_module(f"scoresde.cli.{name}")


_OVERRIDES = """

Any value of the config is set with --config.KEY=VALUE; a component that gets another name, as by
--config.sampler.name=heun, has the defaults of that one (a sampler keeps steps and t_min)."""


class _Formatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps the line breaks of examples, and shows defaults where there are any."""

    def _get_help_string(self, action):
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def _parser() -> Parser:
    parser = Parser(
        prog="scoresde",
        description="Score-based generative models in continuous time.",
        epilog="scoresde COMMAND --help has an example of each.",
    )
    parser.add_argument("--version", action="version", version=f"scoresde {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = _module(name)
        text = module.__doc__.strip()
        subparser = subparsers.add_parser(
            name,
            help=text.splitlines()[0],
            description=text.splitlines()[0],
            epilog=text.partition("\n")[2].strip() + _OVERRIDES * (name not in _WITHOUT_CONFIG),
            formatter_class=_Formatter,
        )
        module.add_arguments(subparser)
    return parser


_format_any_warning = warnings.formatwarning


def _format_warning(message, category, *where, **options):
    """One that is for the user as a line, which says nothing of where in the program it arose."""
    if issubclass(category, UsageWarning):
        return f"scoresde: warning: {message}\n"
    return _format_any_warning(message, category, *where, **options)


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: that of the command, 0 if it has none.

    A user's mistake is one line on standard error and status 2; anything else is a bug and keeps
    its traceback.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["samplers"]:  # the list that is asked for most
        argv = ["list", *argv]
    see_current_folder()
    warnings.formatwarning = _format_warning
    try:
        arguments, overrides = parse(_parser(), argv)
        if arguments.command not in _WITHOUT_PROGRAMS:
            configure()
        distributed.join(arguments)
        distributed.check_alike(arguments, overrides)
        status = _module(arguments.command).run(arguments, overrides) or 0
        distributed.finish()
        sys.stdout.flush()
        return status
    except UsageError as error:
        print(f"scoresde: {distributed.which()}{error}", file=sys.stderr)
        return distributed.leave(2)
    except BrokenPipeError:  # `scoresde ... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"scoresde: {distributed.which()}interrupted", file=sys.stderr)
        return distributed.leave(130)
    except Exception:
        if not distributed.joined():
            raise
        print(f"scoresde: {distributed.which()}a fault:", file=sys.stderr)
        traceback.print_exc()
        return distributed.leave(1)
