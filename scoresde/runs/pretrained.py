"""Another project's checkpoint as a run of ours."""

import dataclasses
import os
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from scoresde import jobs, pretrained, training
from scoresde.experiment import build
from scoresde.registry import UsageError
from scoresde.runs.workdir import save_config


class Imported(NamedTuple):
    """What was imported.

    Attributes:
        parameters: how many numbers.
        step: which step of training they are of.
        averaged: whether they are moving averages; None where the file does not say.
    """

    parameters: int
    step: int
    averaged: bool | None


def import_checkpoint(
    config: Any,
    workdir: str | os.PathLike,
    file_format: str,
    file: str | os.PathLike,
    *,
    raw: bool = False,
) -> Imported:
    """Makes a work directory of a checkpoint; nothing is written if a weight does not fit.

    Args:
        config: as `scoresde.build` takes it; it describes the network and how it is fed and read.
        workdir: new, or empty but for hidden files.
        file_format: of `scoresde.pretrained.FORMATS`.
        file: the checkpoint; FILE#NAME is one of several sets of weights in it.
        raw: take the weights as trained, not their moving average.

    Raises:
        UsageError: a directory that is not empty, or a file that cannot be read as such weights.
    """
    experiment, workdir = build(config), pathlib.Path(workdir)
    if workdir.exists() and (not workdir.is_dir() or jobs.holds_anything(workdir)):
        raise UsageError(f"{workdir} is not empty. Give an empty or new --workdir.")
    params, step, averaged = pretrained.load_params(
        file_format, file, experiment.network, experiment.shape, raw=raw
    )
    key = jax.random.key(experiment.seed)
    state = training.create_state(
        key, params, experiment.optimizer, experiment.averages, experiment.init_memory()
    )
    state = dataclasses.replace(state, step=jnp.int32(step))
    save_config(workdir, config)
    # Training that goes on from here reads its data from the beginning.
    start = {"loader": {"batch": 0}}
    with training.Checkpoints(workdir / "checkpoints") as checkpoints:
        checkpoints.save(step, state, start)
    return Imported(sum(leaf.size for leaf in jax.tree.leaves(params)), step, averaged)
