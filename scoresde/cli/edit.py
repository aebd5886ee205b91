"""Edit images: strokes become pictures, pictures become others, of another class too.

Example:
  scoresde edit --workdir runs/digits --input strokes.png --strength 0.5 --samples 4 --out drawn
  scoresde edit --workdir runs/digits --input a.png --mask keep.png --strength 0.6 --repeats 3
  scoresde edit --workdir runs/labeled --input 3.png --method encode --from_label 3 --label 8

SDEdit (arXiv:2108.01073) adds the noise of --strength, of 0 .. 1, to an image and removes it again;
where a mask is white pixels are kept. `encode` takes the latent of an image of one class by the
probability flow, and decodes it as another class. What is written, and how a run goes on that was
stopped, is as of `scoresde restore`.
"""

import argparse

from scoresde.cli.restoration import add_inputs, add_masks, run_request


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_inputs(parser, "a picture, or a folder of pictures")
    parser.add_argument("--method", default="sdedit", metavar="NAME", help="sdedit or encode")
    parser.add_argument("--strength", type=float, default=0.5, help="of sdedit, 0 .. 1")
    parser.add_argument("--repeats", type=int, default=1, help="of sdedit: how often")
    add_masks(parser, "kept")
    parser.add_argument("--from_label", help="of encode: what class the inputs are")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="of encode, of its solver")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Edits; see the module's docstring. Returns 1 if no sample is finite."""
    return run_request(
        arguments,
        overrides,
        lambda runs: runs.EditRequest,
        method=arguments.method,
        strength=arguments.strength,
        repeats=arguments.repeats,
        mask=arguments.mask,
        threshold=arguments.threshold,
        from_label=arguments.from_label,
        tolerance=arguments.tolerance,
    )
