"""The work directory of a run: one experiment's config, checkpoints, logs and results.

config.json       the resolved config, written before the first step
checkpoints/      what Orbax keeps
metrics.jsonl     the log, also in tensorboard/ and, at the end, loss.png
dequantizer/      the run of `scoresde train-dequantizer`
samples/          grids made during training, and the results of `scoresde sample`
likelihood/       the results of `scoresde likelihood`
"""

import json
import os
import pathlib
from typing import Any

import ml_collections

from scoresde import files, settings
from scoresde.registry import UsageError

# What may differ when a run goes on: how long it is and how it is watched, not what it computes.
_MAY_CHANGE = {
    "training.num_steps",
    "training.log_every",
    "training.eval_every",
    "training.sample_every",
    "training.checkpoint_every",
    "training.keep",
    "training.keep_every",
}
# Sections that training does not read.
_NOT_TRAINING = ("sampler", "likelihood", "dequantizer")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat


def _as_json(config: ml_collections.ConfigDict) -> dict[str, Any]:
    return json.loads(config.to_json())


def save_config(workdir: pathlib.Path, config: ml_collections.ConfigDict) -> None:
    """Records `config` in `workdir`, or checks that the run there is the same experiment.

    Raises:
        UsageError: the directory holds another experiment; nothing is written.
    """
    path, wanted = workdir / "config.json", _as_json(config)
    if workdir.exists() and not workdir.is_dir():
        raise UsageError(f"{workdir} is a file. Give a --workdir that is new, or a directory.")
    if path.exists():
        # A config of an earlier version lacks the keys that are new, and had their defaults.
        default = _flat(json.loads(json.dumps(settings.defaults())))
        found, asked = default | _flat(_as_json(load_config(workdir))), default | _flat(wanted)
        may_change = set(_MAY_CHANGE)
        if found.get("optimizer.schedule", "constant") != "constant":
            may_change.remove("training.num_steps")  # the learning rate at each step depends on it
        differ = [
            key
            for key in sorted(found.keys() | asked.keys())
            if found.get(key) != asked.get(key)
            and key not in may_change
            and not key.startswith(_NOT_TRAINING)
        ]
        if differ:
            key = differ[0]
            more = f" and {len(differ) - 1} more" if len(differ) > 1 else ""
            raise UsageError(
                f"{workdir} holds another experiment: config.{key} is {found.get(key)!r} there, "
                f"{asked.get(key)!r} here{more}. Give another --workdir, or the config it has."
            )
    # A run killed while it wrote its config has left no more than half of that.
    elif workdir.exists() and any(
        not p.name.startswith(".config.json.") for p in workdir.iterdir()
    ):
        raise UsageError(
            f"{workdir} is not empty and holds no experiment (no config.json). "
            "Give an empty or new --workdir."
        )
    try:
        files.write_json(path, wanted)
    except OSError as error:
        raise UsageError(f"{workdir} cannot be written to ({error}). Give another one.") from None


def load_config(workdir: pathlib.Path) -> ml_collections.ConfigDict:
    """The config of the experiment in `workdir`.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    try:
        return ml_collections.ConfigDict(files.read_json(workdir / "config.json"))
    except FileNotFoundError:
        raise UsageError(
            f"{workdir} holds no experiment (no config.json). Give the --workdir of a run."
        ) from None


def process_sections(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The sections of `config` that say which model it is, for the record of a result."""
    sections = _as_json(config)
    return {name: sections[name] for name in ("data", "sde", "prediction", "network")}


def result_directory(path: pathlib.Path, overwrite: bool) -> pathlib.Path:
    """`path`, which must not exist with anything in it unless `overwrite`.

    Raises:
        UsageError: there are results already, or none can be written there.
    """
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UsageError(f"{there} is no directory that can be written to. Give another --name.")
    if there == path and any(path.iterdir()) and not overwrite:
        raise UsageError(
            f"{path} holds results already. Give another --name, or --overwrite to replace them."
        )
    return path
