"""Print a config with every key that it can have, its value, and what it is.

Example:
  scoresde config vp/digits
  scoresde config vp/digits --config.sampler.name=pc > mine.py
  scoresde config --config mine.py

What is printed is a config file itself: `scoresde train --config mine.py` is the same experiment.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    which = "of `scoresde configs`, or a Python file with get_config()"
    parser.add_argument("name", nargs="?", metavar="NAME", help=which)
    parser.add_argument("--config", metavar="NAME", help="the same, as other commands have it")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    from scoresde import experiment
    from scoresde.registry import UsageError

    given = [name for name in (arguments.name, arguments.config) if name is not None]
    if len(given) != 1:
        raise UsageError("Give one config, as `scoresde config vp/digits` or --config FILE.")
    config = experiment.load_config(given[0], overrides)
    command = " ".join(["scoresde config", given[0], *overrides])
    print(experiment.as_python(config, f"What `{command}` prints."), end="")
