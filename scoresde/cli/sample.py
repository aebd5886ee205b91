"""Draw samples from a trained model.

Example:
  scoresde sample --workdir runs/digits --num 64 --animation
  scoresde sample --workdir runs/digits --name heun --config.sampler.name=heun

Writes DIR/samples/NAME/: samples.npz (uint8 levels), grid.png, samples.json (how they were drawn)
and, with --animation, noise_to_image.gif.
"""

import argparse

from scoresde.cli.arguments import add_checkpoint, add_results, add_workdir, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--num", type=int, default=64, help="number of samples")
    parser.add_argument("--batch_size", type=int, default=64, help="samples at a time")
    parser.add_argument("--seed", type=seed, default=0, help="the same seed gives the same samples")
    parser.add_argument("--label", help="class of a class-conditional network: number or name")
    parser.add_argument("--animation", action="store_true", help="also write noise_to_image.gif")
    add_checkpoint(parser)
    add_results(parser, "step_STEP")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Samples; see the module's docstring."""
    from scoresde import runs

    request = runs.SampleRequest(
        num=arguments.num,
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        step=arguments.step,
        average=None if arguments.raw else arguments.average,
        label=arguments.label,
        animation=arguments.animation,
    )
    opened = runs.Run(arguments.workdir, overrides)
    summary = opened.draw(request, name=arguments.name, overwrite=arguments.overwrite)
    if not summary:  # another process prints
        return
    print(
        f"{summary['num']} samples of step {summary['step']} in {summary['seconds']:.1f} s, "
        f"NFE {summary['nfe_mean']:.0f} a sample (compilation included)."
    )
    for path in summary["files"]:
        print(f"  {path}")
