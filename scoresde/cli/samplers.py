"""List the samplers, a line each.

Example:
  scoresde samplers --options

The names are for `config.sampler.name` and `scoresde.samplers.get`.
"""

import argparse
import inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--options", action="store_true", help="also their options and defaults")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Prints; see the module's docstring."""
    from scoresde.registry import UsageError
    from scoresde.samplers import SAMPLERS

    if overrides:
        raise UsageError("The list of samplers depends on no config.")
    width = max(map(len, SAMPLERS))
    for name, sampler in SAMPLERS.items():
        print(f"{name:{width}}  {inspect.getdoc(sampler).splitlines()[0]}")
        if arguments.options:
            for option, parameter in inspect.signature(sampler).parameters.items():
                if parameter.kind is parameter.VAR_KEYWORD:  # of its parts, which are listed too
                    continue
                print(f"{'':{width}}    {option} = {parameter.default!r}")
