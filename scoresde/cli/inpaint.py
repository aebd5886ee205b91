"""Fill in pixels of images that are not known, and keep those that are.

Example:
  scoresde inpaint --workdir runs/digits --input broken --mask masks --samples 4 --out mended
  scoresde inpaint --workdir runs/digits --input a.png --box 2,2,4,4 --method repaint

A mask is white where pixels are known and black where they are not: one picture for all inputs, or
a folder with one for each, of the input's name. What is written, and how a run goes on that was
stopped, is as of `scoresde restore`.
"""

import argparse

from scoresde.cli.restoration import (
    add_inputs,
    add_masks,
    add_method,
    add_noise,
    method,
    run_request,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_inputs(parser, "a picture, or a folder of pictures")
    add_masks(parser, "known")
    parser.add_argument("--box", metavar="TOP,LEFT,HEIGHT,WIDTH", help="pixels that are not known")
    add_method(parser, "replacement")
    add_noise(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Inpaints; see the module's docstring. Returns 1 if no sample is finite."""
    return run_request(
        arguments,
        overrides,
        lambda runs: runs.InpaintRequest,
        mask=arguments.mask,
        box=arguments.box,
        threshold=arguments.threshold,
        method=method(arguments),
        clip=not arguments.no_clip,
        noise=arguments.noise,
    )
