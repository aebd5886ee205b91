"""Print a config with every key that it can have, its value, and what it is.

Example:
  scoresde config vp/digits
  scoresde config vp/digits --config.sampler.name=pc > mine.py

What is printed is a config file itself: `scoresde train --config mine.py` is the same experiment.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "config", metavar="NAME", help="of `scoresde configs`, or a Python file with get_config()"
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    from scoresde import experiment

    config = experiment.load_config(arguments.config, overrides)
    command = " ".join(["scoresde config", arguments.config, *overrides])
    print(experiment.as_python(config, f"What `{command}` prints."), end="")
