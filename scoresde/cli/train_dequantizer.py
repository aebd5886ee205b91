"""Train a variational dequantizer for a trained score model.

Example:
  scoresde train-dequantizer --workdir runs/digits --num_steps 1000
  scoresde likelihood --workdir runs/digits --dequantizer flow

A conditional flow learns the noise within the bins under which the frozen model (its EMA) explains
the images best. config.dequantizer says what the flow is and how it is trained. Everything is in
DIR/dequantizer/. A run that was stopped goes on exactly where it was, as `scoresde train` does.
"""

import argparse

from scoresde.cli.arguments import add_strict, add_workdir
from scoresde.cli.distributed import add_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_workdir(parser)
    add_strict(parser)
    parser.add_argument("--num_steps", type=int, help="length; config.dequantizer.num_steps")
    parser.add_argument("--step", type=int, help="score checkpoint to load; the latest")
    add_processes(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Trains; see the module's docstring. Returns 130 if the run was told to stop early."""
    from scoresde import runs

    if arguments.num_steps is not None:
        overrides = [*overrides, f"--config.dequantizer.num_steps={arguments.num_steps}"]
    opened = runs.Run(arguments.workdir, overrides)
    state = runs.train_dequantizer(opened, arguments.step, strict=arguments.strict)
    return 0 if int(state.step) >= opened.experiment.dequantizer.num_steps else 130
