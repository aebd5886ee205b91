"""Command-line arguments that commands share."""

import argparse
import pathlib

from scoresde.registry import UsageError, closest


class Parser(argparse.ArgumentParser):
    """Reports a mistake as every other one is reported: one line, no usage text.

    Options are not abbreviated: --over may be --overwrite today and something else tomorrow.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **{"allow_abbrev": False, **options})

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            near, known = closest(str(value), choices), ", ".join(choices)
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}.{near} Known: {known}")

    def error(self, message):
        raise UsageError(f"{message[0].upper()}{message[1:]}. See: {self.prog} --help")


def parse(parser: Parser, argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command's own arguments, and the --config.KEY=VALUE among them.

    Raises:
        UsageError: an argument that is neither.
    """
    _check_options(parser, argv)
    arguments, rest = parser.parse_known_args(argv)
    if not rest:
        return arguments, []
    from scoresde.experiment import overrides  # a second to import, which help does not need

    command = " ".join([parser.prog, *filter(None, [getattr(arguments, "command", None)])])
    return arguments, overrides.among(rest, f"{command} --help")


def _check_options(parser, argv):
    """Refuses options that the command has not, before a missing one is what is complained of."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and argv and argv[0][:1] != "-":
            if argv[0] not in action.choices:
                return  # which is the first that is wrong
            parser = action.choices[argv[0]]
    known = [option for action in parser._actions for option in action.option_strings]
    for argument in argv:
        option = argument.partition("=")[0]
        if option.startswith("--") and option not in known and not option.startswith("--config."):
            head, dot, key = option.partition(".")
            near = closest(head, ["--config"] if dot else known)
            near = near.replace("--config", f"--config.{key}") if dot else near
            raise UsageError(f"Unknown argument {option!r}.{near} See: {parser.prog} --help")


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


def add_config(parser: argparse.ArgumentParser) -> None:
    """The config of the commands that do not start from a run."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="NAME",
        help="of `scoresde configs`, or a Python file with get_config()",
    )


def add_strict(parser: argparse.ArgumentParser) -> None:
    """What a run does about a damaged checkpoint."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse to go on from the checkpoint before where the latest is damaged",
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Which parameters of a run."""
    parser.add_argument("--step", type=int, help="checkpoint to load; the latest if not given")
    parser.add_argument("--average", default="ema", help="which average of the parameters")
    parser.add_argument("--raw", action="store_true", help="the last parameters, not an average")


def add_results(parser: argparse.ArgumentParser, default: str) -> None:
    """Where results go."""
    parser.add_argument(
        "--name", type=result_name, help=f"directory of the results; {default} if not given"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace earlier results")
