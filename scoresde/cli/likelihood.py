"""Evaluate log-likelihoods in bits/dim, exact or bounded.

Example:
  scoresde likelihood --workdir runs/digits --split test --probes 8
  scoresde likelihood --workdir runs/digits --dequantizer flow --passes 5
  scoresde likelihood --workdir runs/digits --bound vdm
  scoresde likelihood --workdir runs/digits_classes --bayes --num 150

Every image of the split is evaluated, its last ones included: exactly (the probability-flow ODE on
the image with noise in its bins), or by a lower bound (score_flow on the same, vdm and ddpm on the
levels). Writes DIR/likelihood/NAME/: per_image.npz, likelihood.json (protocol, mean, error in
parts) and figure.png. A run that was stopped, or killed, goes on at the batch where it was.
Numbers of different protocols (dequantization, t_min, range, bound) do not compare.
"""

import argparse
import ast
from typing import Any

from scoresde.cli.arguments import add_checkpoint, add_results, add_workdir, seed
from scoresde.cli.distributed import add_processes
from scoresde.cli.long_job import long_job
from scoresde.registry import UsageError

# Options of the estimators, each of those that have it.
_OPTIONS = ("probes", "samples", "repeats", "steps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--split", default="test", help="split of the data")
    parser.add_argument("--num", type=int, help="the first images of the split only")
    parser.add_argument("--bound", default="exact", help="exact, score_flow, vdm or ddpm")
    parser.add_argument("--probes", type=int, help="Hutchinson probes; config.likelihood.probes")
    parser.add_argument("--samples", type=int, help="of a bound: times (ddpm: steps) an image")
    parser.add_argument("--repeats", type=int, help="of a bound: independent sets of times")
    parser.add_argument("--steps", type=int, help="of ddpm: length of the chain; 1000, or its own")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other option, as of `scoresde list likelihoods --options`",
    )
    parser.add_argument(
        "--dequantizer", help="uniform (if not given), truncated_normal, or flow, once trained"
    )
    parser.add_argument("--dequantizer_std", type=float, help="of truncated_normal; the process's")
    parser.add_argument("--passes", type=int, default=1, help="evaluations of each image")
    parser.add_argument("--seed", type=seed, default=0, help="of dequantization noise and probes")
    parser.add_argument(
        "--baseline", action="store_true", help="also fit a Gaussian, and compare with it"
    )
    parser.add_argument(
        "--bayes", action="store_true", help="under every class: p(class | image), and its accuracy"
    )
    add_checkpoint(parser)
    add_results(parser, "SPLIT_STEP")
    add_processes(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Evaluates; see the module's docstring. Returns 1 if no image could be evaluated."""
    with long_job(arguments, "images") as progress:
        from scoresde import runs

        given = {name: getattr(arguments, name) for name in _OPTIONS}
        protocol = runs.LikelihoodProtocol(
            split=arguments.split,
            num=arguments.num,
            bound=arguments.bound,
            options={name: value for name, value in given.items() if value is not None}
            | dict(literal("--option", item) for item in arguments.option),
            dequantizer=arguments.dequantizer,
            dequantizer_std=arguments.dequantizer_std,
            passes=arguments.passes,
            seed=arguments.seed,
            step=arguments.step,
            average=None if arguments.raw else arguments.average,
            baseline=arguments.baseline,
            bayes=arguments.bayes,
        )
        summary = runs.Run(arguments.workdir, overrides).likelihood(
            protocol, name=arguments.name, overwrite=arguments.overwrite, progress=progress
        )
    if not summary:  # another process prints
        return 0
    _print(summary)
    return int(summary["unfinished"] == summary["images"])


def literal(option: str, item: str) -> tuple[str, Any]:
    """KEY=VALUE of an option, the value a Python literal or a bare string."""
    key, is_one, text = item.partition("=")
    if not is_one:
        raise UsageError(f"{option} {item}: write KEY=VALUE, with the =.")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text


def _print(summary: dict[str, Any]) -> None:
    num = summary["images"]
    if summary["unfinished"]:
        print(
            f"Warning: the solver did not finish for {summary['unfinished']} of {num} images, so "
            "the mean is NaN. Loosen config.likelihood.rtol and .atol, or find what is not finite."
        )
    print(
        f"{summary['bits_per_dim']:.4f} bits/dim, standard error "
        f"{summary['standard_error'] or float('nan'):.4f} over {num} {summary['split']} images; "
        f"NFE {summary['nfe_mean']:.0f} an image; "
        f"{summary['seconds']:.1f} s (compilation included)."
    )
    if "importance_bits_per_dim" in summary:
        exact = summary["importance_is_a_bound"]
        print(
            f"All {summary['passes']} passes together: {summary['importance_bits_per_dim']:.4f} "
            f"bits/dim{'.' if exact else ', too optimistic by the noise of the probes.'}"
        )
    if "gaussian_bits_per_dim" in summary:
        print(
            f"A Gaussian fitted to the training images: {summary['gaussian_bits_per_dim']:.4f} "
            f"bits/dim; the model gains {summary['gain_over_gaussian']:.4f} "
            f"+- {summary['gain_standard_error'] or float('nan'):.4f}."
        )
    if "class_accuracy" in summary:
        print(
            f"By Bayes {100 * summary['class_accuracy']:.1f} +- "
            f"{100 * summary['class_accuracy_standard_error']:.1f} % of the classes are right."
        )
    if "no_class_bits_per_dim" in summary:
        print(
            f"Told no class: {summary['no_class_bits_per_dim']:.4f} bits/dim; the class gains "
            f"{summary['gain_of_class']:.4f} "
            f"+- {summary['gain_of_class_standard_error'] or float('nan'):.4f}."
        )
    for path in summary["files"]:
        print(f"  {path}")
