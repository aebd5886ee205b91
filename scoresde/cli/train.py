"""Train a score model, or go on with the run in the work directory.

Example:
  scoresde train --config vp/digits --workdir runs/digits --config.training.num_steps=500
  scoresde train --config vp/digits --workdir runs/digits --dry_run

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
    add_watching(parser)
    add_processes(parser)


def add_watching(parser: argparse.ArgumentParser) -> None:
    """The arguments of what trains that do not change what it computes."""
    parser.add_argument(
        "--dry_run",
        action="store_true",
        help="say what is trained, compile it, say what memory it needs, make one step, and write "
        "nothing",
    )
    parser.add_argument(
        "--profile",
        metavar="START:STOP",
        help="trace the steps after START up to STOP into DIR/profile/, for XProf and Perfetto",
    )


def check_watching(arguments: argparse.Namespace) -> None:
    """Raises UsageError for arguments of `add_watching` that do not go together."""
    from scoresde.registry import UsageError

    if arguments.dry_run and arguments.profile is not None:
        raise UsageError("A dry run writes nothing, and so no profile: leave out --profile.")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Trains; see the module's docstring. Returns 130 if the run was told to stop early."""
    from scoresde import experiment, runs

    check_watching(arguments)
    config = experiment.load_config(arguments.config, overrides)
    if arguments.dry_run:
        runs.dry_run(config)
        return 0
    state = runs.train(
        config, arguments.workdir, profile=arguments.profile, strict=arguments.strict
    )
    return 0 if int(state.step) >= experiment.build(config).training.num_steps else 130
