"""The work directory of a run: one experiment's config, checkpoints, logs and results.

config.json       the resolved config, written before the first step, and beside it, as
                  "environment", what the run was computed by: a list, the newest last
checkpoints/      what Orbax keeps
snapshots/        power-function averages of the parameters, now and then during training
averages/         what `scoresde ema` puts together of them
metrics.jsonl     the log, also in tensorboard/ and, at the end, loss.png and loss_by_noise.png
profile/          traces of steps, where `scoresde train --profile` asked for them
wandb.json        the run of Weights & Biases, where config.training.wandb asks for one
dequantizer/      the run of `scoresde train-dequantizer`
classifier/       the accuracy of what `scoresde train-classifier` trained
samples/          grids made during training, and the results of `scoresde sample`
likelihood/       the results of `scoresde likelihood`
evaluation/       the results of `scoresde evaluate`
statistics/       features of the data, which samples are compared with
"""

import pathlib
from typing import Any

from scoresde import experiment, files, jobs
from scoresde.registry import UsageError
from scoresde.runs.environment import environment, with_environment


def save_config(workdir: pathlib.Path, config: Any) -> None:
    """Records `config` in `workdir`, or checks that the run there is the same experiment.

    What it is computed by is recorded beside it, see `scoresde.runs.environment`.

    Raises:
        UsageError: the directory holds another experiment, and nothing is written; or it cannot be
            written to.
    """
    path, earlier = workdir / "config.json", []
    if workdir.exists() and not workdir.is_dir():
        raise UsageError(f"{workdir} is a file. Give a --workdir that is new, or a directory.")
    if path.exists():
        earlier = experiment.read_environments(path)
        if differ := experiment.training_differences(saved_config(workdir), config):
            more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
            raise UsageError(
                f"{workdir} holds another experiment: {differ[0]}{more}. Give another --workdir, "
                "or the config it has."
            )
    # A run killed while it wrote its config has left no more than half of that, a hidden file.
    elif workdir.exists() and jobs.holds_anything(workdir):
        raise UsageError(
            f"{workdir} is not empty and holds no experiment (no config.json). "
            "Give an empty or new --workdir."
        )
    files.write_json(
        path, experiment.with_environments(config, with_environment(earlier, environment()))
    )


def saved_config(workdir: pathlib.Path) -> Any:
    """The config of the experiment in `workdir`.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        return experiment.read_config(workdir / "config.json")
    except FileNotFoundError:
        raise UsageError(
            f"{workdir} holds no experiment (no config.json). Give the --workdir of a run."
        ) from None
