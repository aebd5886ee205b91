"""Restore images of which something else is seen: small, blurred, compressed ones, and others.

Example:
  scoresde restore --workdir runs/digits --input small --observation super_resolution --out large
  scoresde restore --workdir runs/digits --input clean.png --observation jpeg --option quality=10 \\
      --option noise=0.05 --method dps --observe --samples 4
  scoresde list observations --options

The input is what is observed: a picture, a folder of pictures, or .npy arrays where that is no
picture; with --observe it is clean, and observed first. Writes NAME_0.png, NAME_1.png, ... for the
input NAME.png, sheet.png (observed, samples, mean, standard deviation) and restoration.json. A run
that was stopped, or killed, goes on at the batch where it was. A sample of an image does not depend
on the other images.
"""

import argparse

from scoresde.cli.likelihood import literal
from scoresde.cli.restoration import add_inputs, add_method, method, run_request
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_inputs(parser, "what is observed: a file or a folder")
    parser.add_argument(
        "--observation", required=True, metavar="NAME", help="of `scoresde list observations`"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of the observation, as factor=4, or noise=0.05 in units of x",
    )
    parser.add_argument("--observe", action="store_true", help="the input is clean: observe it")
    add_method(parser, "pigdm")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Restores; see the module's docstring. Returns 1 if no sample is finite."""
    options = dict(literal("--option", item) for item in arguments.option)
    if "name" in options:
        raise UsageError("--option name=...: the observation's name is that of --observation.")
    return run_request(
        arguments,
        overrides,
        lambda runs: runs.RestoreRequest,
        observation={"name": arguments.observation, **options},
        method=method(arguments),
        clip=not arguments.no_clip,
        observe=arguments.observe,
    )
