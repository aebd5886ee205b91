"""What `restore`, `inpaint`, `colorize` and `edit` have in common."""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from scoresde.cli.arguments import add_checkpoint, add_results, add_workdir, seed
from scoresde.cli.likelihood import literal
from scoresde.cli.long_job import long_job
from scoresde.registry import UsageError


def add_inputs(parser: argparse.ArgumentParser, what: str) -> None:
    """The run, the inputs, and how many samples are drawn of each."""
    add_workdir(parser)
    parser.add_argument("--input", required=True, metavar="PATH", help=what)
    parser.add_argument("--samples", type=int, default=1, help="of each input")
    parser.add_argument("--batch_size", type=int, default=64, help="samples at a time")
    parser.add_argument("--seed", type=seed, default=0, help="the same seed gives the same samples")
    parser.add_argument("--label", help="class of a class-conditional network: number or name")
    parser.add_argument(
        "--fit", action="store_true", help="cut out and resize the largest central square"
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--out", type=pathlib.Path, metavar="DIR", help="where results go, or --name"
    )
    add_results(parser, "DIR/restorations/TASK_STEP")


def add_method(parser: argparse.ArgumentParser, default: str) -> None:
    """How samples are made to have what is observed."""
    parser.add_argument(
        "--method", default=default, metavar="NAME", help="of `scoresde list restorations`"
    )
    parser.add_argument("--scale", type=float, help="factor on the gradient of dps, pigdm and tmpd")
    parser.add_argument(
        "--method_option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another option of the method, as rounds=5",
    )
    parser.add_argument(
        "--no_clip",
        action="store_true",
        help="do not clip E[x0] to the range of the data after dps, pigdm or tmpd",
    )


def add_noise(parser: argparse.ArgumentParser) -> None:
    """The noise of what is known."""
    parser.add_argument(
        "--noise", type=float, default=0.0, help="of what is known, in units of x; dps needs some"
    )


def add_masks(parser: argparse.ArgumentParser, white: str) -> None:
    """Masks in picture files."""
    parser.add_argument(
        "--mask", metavar="PATH", help=f"white where pixels are {white}: a picture, or a folder"
    )
    parser.add_argument(
        "--threshold", type=int, metavar="LEVEL", help="levels of a mask from it on are white"
    )


def method(arguments: argparse.Namespace) -> dict[str, Any]:
    """The section of the method."""
    options = dict(literal("--method_option", item) for item in arguments.method_option)
    if arguments.scale is not None:
        options["scale"] = arguments.scale
    if "name" in options:
        raise UsageError("--method_option name=...: the method's name is that of --method.")
    return {"name": arguments.method, **options}


def run_request(
    arguments: argparse.Namespace, overrides: list[str], make: Callable[..., Any], **options: Any
) -> int:
    """Does what a request says; returns 1 if no sample is finite.

    Args:
        arguments: of the command.
        overrides: changes of the run's config.
        make: the package `scoresde.runs` -> the class of the request.
        **options: of the request, besides those that all have.
    """
    with long_job(arguments, "samples") as progress:
        from scoresde import runs

        request = make(runs)(
            input=arguments.input,
            samples=arguments.samples,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            step=arguments.step,
            average=None if arguments.raw else arguments.average,
            label=arguments.label,
            fit=arguments.fit,
            **options,
        )
        summary = runs.Run(arguments.workdir, overrides).restore(
            request,
            name=arguments.name,
            out=arguments.out,
            overwrite=arguments.overwrite,
            progress=progress,
        )
    return _print(summary) if summary else 0  # another process prints


def _print(summary: dict[str, Any]) -> int:
    inputs, unfinished = len(summary["inputs"]), summary["unfinished"]
    num = inputs * summary["samples"]
    seconds, nfe = summary["seconds"], summary["nfe_mean"]
    print(
        f"{num} samples of {inputs} images by step {summary['step']} in {seconds:.1f} s, "
        f"NFE {nfe:.0f} a sample (compilation included)."
    )
    if unfinished:
        print(
            f"Warning: {unfinished} of {num} samples are not finite, and gray in pictures. Let the "
            "sampler take more steps, or the method a smaller scale."
        )
    if astray := summary["astray"]:
        print(
            f"Warning: {astray} of {num} samples went far beyond black and white: the method takes "
            "more steps than these, more noise of what is observed, or a smaller scale."
        )
    shown = summary["files"][:5]
    for path in shown:
        print(f"  {path}")
    if more := len(summary["files"]) - len(shown):
        print(f"  and {more} more")
    return int(unfinished == num)
