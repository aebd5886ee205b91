"""Draw samples from a trained model.

Example:
  scoresde sample --workdir runs/digits --num 64 --animation
  scoresde sample --workdir runs/digits --name heun --config.sampler.name=heun
  scoresde sample --workdir runs/digits --guidance cfg --scale 2 --labels 0-9
  scoresde sample --workdir runs/digits --guidance classifier --classifier runs/c --scale 3
  scoresde sample --workdir runs/digits --guidance autoguidance --weak runs/digits@300 --scale 2
  scoresde sample --workdir runs/large --cascade runs/small --augmentation 0.1

Writes DIR/samples/NAME/: samples.npz (uint8 levels), grid.png, samples.json (how they were drawn)
and, with --animation, noise_to_image.gif. A run that was stopped, or killed, goes on at the batch
where it was, and its samples are the same. The exit status is 1 if no sample is finite.
"""

import argparse
from typing import Any

from scoresde.cli.arguments import add_checkpoint, add_results, add_workdir, seed
from scoresde.cli.distributed import add_processes
from scoresde.cli.likelihood import literal
from scoresde.cli.long_job import long_job
from scoresde.registry import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--num", type=int, default=64, help="number of samples")
    parser.add_argument("--batch_size", type=int, default=64, help="samples at a time")
    parser.add_argument("--seed", type=seed, default=0, help="the same seed gives the same samples")
    parser.add_argument("--label", help="class of a class-conditional network: number or name")
    parser.add_argument("--labels", help="classes in turn: as 0-9, or 3,5,7 or their names")
    parser.add_argument("--guidance", metavar="NAME", help="a method of `scoresde list guidance`")
    parser.add_argument("--scale", type=float, help="of the guidance; cfg: 1 is the network alone")
    parser.add_argument(
        "--guidance_option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another option of the guidance, as interval=(0.2,5.0)",
    )
    parser.add_argument(
        "--classifier", metavar="DIR[@STEP][@AVERAGE]", help="run of `train-classifier` that guides"
    )
    parser.add_argument(
        "--weak", metavar="DIR[@STEP][@AVERAGE]", help="run of the weaker model of autoguidance"
    )
    parser.add_argument(
        "--cascade",
        metavar="DIR[@STEP][@AVERAGE]",
        help="run of the base model, for super-resolution of its",
    )
    parser.add_argument(
        "--augmentation", type=float, help="level of noise on what the network is told; 0"
    )
    parser.add_argument(
        "--truncated", action="store_true", help="end the base model's sampling at that level"
    )
    parser.add_argument("--animation", action="store_true", help="also write noise_to_image.gif")
    add_checkpoint(parser)
    add_results(parser, "step_STEP")
    add_processes(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Samples; see the module's docstring. Returns 1 if no sample is finite."""
    with long_job(arguments, "samples") as progress:
        from scoresde import runs

        request = runs.SampleRequest(
            num=arguments.num,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            step=arguments.step,
            average=None if arguments.raw else arguments.average,
            label=arguments.label,
            labels=arguments.labels,
            guidance=_guidance(arguments),
            animation=arguments.animation,
            cascade=arguments.cascade,
            augmentation=arguments.augmentation,
            truncated=arguments.truncated,
        )
        summary = runs.Run(arguments.workdir, overrides).draw(
            request, name=arguments.name, overwrite=arguments.overwrite, progress=progress
        )
    if not summary:  # another process prints
        return 0
    return _print(summary)


def _guidance(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The section of the guidance."""
    others = dict(literal("--guidance_option", item) for item in arguments.guidance_option)
    if "name" in others:
        raise UsageError("--guidance_option name=...: the method's name is that of --guidance.")
    options = {
        "scale": arguments.scale,
        "classifier": arguments.classifier,
        "weaker": arguments.weak,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if arguments.guidance is None:
        for name, method in (("scale", "cfg"), ("classifier", "classifier")):
            if name in options:
                raise UsageError(
                    f"--{name} is that of a guidance method: say which, as --guidance {method}."
                )
        if others:
            raise UsageError("--guidance_option is that of a method: say which, by --guidance.")
        if options:
            raise UsageError("--weak is that of autoguidance: --guidance autoguidance.")
        return None
    if arguments.guidance == "classifier" and arguments.classifier is None:
        raise UsageError(
            "Guidance by a classifier needs one: --classifier DIR, of `scoresde train-classifier`."
        )
    if arguments.guidance == "autoguidance" and arguments.weak is None:
        raise UsageError("Autoguidance is away from a weaker model: --weak DIR or DIR@STEP.")
    return {"name": arguments.guidance, **others, **options}


def _print(summary: dict[str, Any]) -> int:
    num, unfinished = summary["num"], summary["unfinished"]
    print(
        f"{num} samples of step {summary['step']} in {summary['seconds']:.1f} s, "
        f"NFE {summary['nfe_mean']:.0f} a sample (compilation included)."
    )
    if unfinished:
        print(
            f"Warning: {unfinished} of {num} samples are not finite, and gray in pictures. Let the "
            "sampler take more steps, or find what is not finite in the parameters."
        )
    if in_animation := summary.get("unfinished_in_animation"):
        print(
            f"Warning: of {in_animation} samples in the animation some states are not finite, and "
            "gray."
        )
    for path in summary["files"]:
        print(f"  {path}")
    return int(unfinished == num)
