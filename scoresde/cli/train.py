"""Train a score model, or go on with the run in the work directory.

Example:
  scoresde train --config vp/digits --workdir runs/digits --config.training.num_steps=500

The run can be stopped (Ctrl-C, SIGTERM, kill) and started again with the same command: it goes on
from its last checkpoint, exactly as if it had never stopped. One that is damaged is moved to
DIR/checkpoints/damaged/, and the run goes on from the one before; with --strict it refuses.
"""

import argparse

from scoresde.cli.arguments import add_config, add_strict, add_workdir
from scoresde.cli.distributed import add_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_config(parser)
    add_workdir(parser)
    add_strict(parser)
    add_processes(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Trains; see the module's docstring. Returns 130 if the run was told to stop early."""
    from scoresde import experiment, runs

    config = experiment.load_config(arguments.config, overrides)
    state = runs.train(config, arguments.workdir, strict=arguments.strict)
    return 0 if int(state.step) >= experiment.build(config).training.num_steps else 130
