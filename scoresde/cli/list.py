"""List the members of a family of components, a line each.

Example:
  scoresde list
  scoresde list samplers --options

Without FAMILY, the families. The names are for configs and for the family's `get` in Python;
`package.module:Name` stands for a component of your own wherever a name does.
"""

import argparse

from scoresde.cli.families import FAMILIES, describe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("family", nargs="?", metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--options", action="store_true", help="also their options and defaults")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    from scoresde.registry import UsageError

    if overrides:
        raise UsageError("A list of components depends on no config.")
    if arguments.family is None:
        width = max(map(len, FAMILIES))
        for name, family in FAMILIES.items():
            print(f"{name:{width}}  {family.words}")
        return
    describe(arguments.family, arguments.options)
