"""Give colors to gray images, whose brightness is kept.

Example:
  scoresde colorize --workdir runs/emoji --input gray --samples 4 --out colored
  scoresde colorize --workdir runs/emoji --input colored.png --observe

Gray is the mean of R, G and B. With --observe the inputs are in color, and their colors are
forgotten first. What is written, and how a run goes on that was stopped, is as of
`scoresde restore`.
"""

import argparse

from scoresde.cli.restoration import add_inputs, add_method, add_noise, method, run_request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_inputs(parser, "a gray picture, or a folder of them")
    parser.add_argument("--observe", action="store_true", help="the input is in color: forget it")
    add_method(parser, "replacement")
    add_noise(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Colorizes; see the module's docstring. Returns 1 if no sample is finite."""
    return run_request(
        arguments,
        overrides,
        lambda runs: runs.ColorizeRequest,
        method=method(arguments),
        clip=not arguments.no_clip,
        noise=arguments.noise,
        observe=arguments.observe,
    )
