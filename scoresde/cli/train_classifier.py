"""Train a classifier of noisy images, which guides the samples of another run.

Example:
  scoresde train-classifier --config classifier/digits --workdir runs/digits_classifier
  scoresde sample --workdir runs/digits --guidance classifier \\
      --classifier runs/digits_classifier --scale 3

The classifier is trained as `scoresde train` trains, with the same files in DIR, and a run that was
stopped goes on exactly where it was. Once it is trained, its accuracy on the test images, at eight
levels of noise, is printed and written to DIR/classifier/: accuracy.json and accuracy.png.
"""

import argparse
from typing import Any

from scoresde.cli.arguments import add_config, add_strict, add_workdir
from scoresde.cli.distributed import add_processes
from scoresde.cli.train import add_watching, check_watching


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_config(parser)
    add_workdir(parser)
    add_strict(parser)
    add_watching(parser)
    add_processes(parser)


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Trains; see the module's docstring. Returns 130 if the run was told to stop early."""
    from scoresde import experiment, runs

    check_watching(arguments)
    config = experiment.load_config(arguments.config, overrides)
    if arguments.dry_run:
        runs.check_trains_classifier(experiment.build(config))
        runs.dry_run(config)
        return 0
    _, summary = runs.train_classifier(
        config, arguments.workdir, profile=arguments.profile, strict=arguments.strict
    )
    if summary is None:
        return 130
    import jax

    if jax.process_index() == 0:
        _print(summary)
    return 0


def _print(summary: dict[str, Any]) -> None:
    print(f"\n{'log SNR':>16}  {'accuracy':>17}  cross-entropy, nats")
    for level in summary["levels"]:
        low, high = level["log_snr"]
        accuracy = f"{level['accuracy']:.3f} ± {level['stderr']:.3f}"
        print(f"{low:>6.1f} .. {high:>6.1f}  {accuracy:>17}  {level['cross_entropy']:>8.3f}")
    print(f"\n{summary['images']:,} {summary['split']} images, step {summary['step']}.")
