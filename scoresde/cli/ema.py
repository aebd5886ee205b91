"""Put an average of the parameters of any length together, after the run.

Example:
  scoresde ema --workdir runs/edm2 --length 0.13
  scoresde sample --workdir runs/edm2 --average power_0_13

The length is the standard deviation of the average's profile as a share of the run, above 0 and up
to 0.2886. It is made of the snapshots of power-function averages that the run took
(config.training.snapshot_every) and becomes an average of the run like those of training, for every
--average. docs/averages.md says how, and how near it comes.
"""

import argparse

from scoresde.cli.arguments import add_workdir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    parser.add_argument("--length", type=float, required=True, help="of the profile, as 0.1")
    parser.add_argument("--step", type=int, help="that it is of; that of the last snapshot")
    parser.add_argument("--name", help="of the average; power_0_1 for the length 0.1")
    parser.add_argument("--overwrite", action="store_true", help="replace one of that name")


def run(arguments: argparse.Namespace, overrides: list[str]) -> None:
    """Writes the average; see the module's docstring."""
    from scoresde import runs

    made = runs.make_average(
        runs.TrainedModel(arguments.workdir, overrides),
        arguments.length,
        step=arguments.step,
        name=arguments.name,
        overwrite=arguments.overwrite,
    )
    print(
        f"The average {made.name} of step {made.step}, of length {made.length:g} from "
        f"{made.snapshots} snapshots (its profile is off by {made.error:.2%}), is in {made.path}. "
        f"Use it with --average {made.name}."
    )
