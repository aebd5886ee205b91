"""List the published configs, a line each.

Example:
  scoresde configs
  scoresde train --config vp/digits --workdir runs/digits

Their names stand wherever a config file does; `scoresde config NAME` prints one with all its keys.
"""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has none."""


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    from scoresde.published import CONFIGS, summary
    from scoresde.registry import UsageError

    if overrides:
        raise UsageError("A list of configs depends on no config.")
    files = CONFIGS.files()
    width = max(map(len, files))
    for name, file in files.items():
        print(f"{name:{width}}  {summary(file)}")
