"""A config on disk, and when two of them are the same experiment."""

import json
import os
from collections.abc import Mapping
from typing import Any

import ml_collections

from scoresde import files
from scoresde.experiment.sections import COMPONENTS, Config, Data, Training, defaults, named
from scoresde.training.optimizer import TO_THE_END

# What may differ when a run goes on: how long it is, on which devices its state lies and how it is
# watched, not what it computes.
_MAY_CHANGE = {
    "training.num_steps",
    "training.fsdp",
    "training.fsdp_from",
    "training.log_every",
    "training.eval_every",
    "training.sample_every",
    "training.eval_fd_every",
    "training.eval_fd_num",
    "training.eval_features",
    "training.checkpoint_every",
    "training.keep",
    "training.keep_every",
    "training.wandb",
    "training.max_skipped_in_a_row",
    "training.snapshot_every",
    "training.snapshot_dtype",
}
# Sections that training does not read.
_NOT_TRAINING = ("sampler", "likelihood", "dequantizer")

# Beside the sections of a config on disk, and no part of it.
_ENVIRONMENTS = "environment"

# The sections that say which model it is.
_MODEL = ("data", "sde", "prediction", "network")


def read_config(path: str | os.PathLike) -> ml_collections.ConfigDict:
    """The config that `as_json`, or `with_environments`, was written of.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it cannot be read.
    """
    sections = files.read_json(path)
    sections.pop(_ENVIRONMENTS, None)
    return ml_collections.ConfigDict(sections)


def read_environments(path: str | os.PathLike) -> list[dict[str, Any]]:
    """What is recorded of the environments of a run beside its config; older ones have none.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it cannot be read.
    """
    return files.read_json(path).get(_ENVIRONMENTS) or []


def with_environments(
    config: ml_collections.ConfigDict, environments: list[dict[str, Any]]
) -> dict[str, Any]:
    """The config as `as_json` gives it, with the environments of its run beside its sections."""
    return {**as_json(config), _ENVIRONMENTS: environments}


def as_json(config: ml_collections.ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    """The config as plain values that JSON can hold: tuples are lists."""
    return json.loads(ml_collections.ConfigDict(config).to_json())


def with_defaults(config: ml_collections.ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    """The config as plain values that JSON can hold, with what it leaves out.

    Sections that are not there, and keys of data and training, have their defaults; a component
    that is given by its name alone is a section with a name.
    """
    sections = json.loads(json.dumps(defaults(Config))) | as_json(config)
    for name, kind in (("data", Data), ("training", Training)):
        sections[name] = json.loads(json.dumps(defaults(kind))) | sections.get(name, {})
    for where in COMPONENTS:
        *names, key = where.split(".")
        section = sections
        for name in names:
            section = section.get(name, {})
        if section.get(key) is not None:
            section[key] = named(where, section[key])
    return sections


def model_sections(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The sections of `config` that say which model it is, for the record of a result."""
    sections = with_defaults(config)
    return {name: sections[name] for name in _MODEL}


def training_differences(
    found: ml_collections.ConfigDict, wanted: ml_collections.ConfigDict
) -> list[str]:
    """The keys, in words with both values, by which a run of `found` cannot go on as `wanted`."""
    # A config of an earlier version lacks the keys that are new, and had their defaults.
    found, wanted = _flat(with_defaults(found)), _flat(with_defaults(wanted))
    may_change = set(_MAY_CHANGE)
    schedule = found.get("optimizer.schedule", found.get("optimizer.schedule.name"))
    if schedule in TO_THE_END:
        may_change.remove("training.num_steps")  # the learning rate at each step depends on it
    return [
        f"config.{key} is {found.get(key)!r} there, {wanted.get(key)!r} here{_why(key)}"
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key) != wanted.get(key)
        and key not in may_change
        and not key.startswith(_NOT_TRAINING)
    ]


def _why(key: str) -> str:
    if key == "training.num_steps":
        return " (the learning-rate schedule ends there: only a constant one can be extended)"
    return ""


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        return {prefix: values}
    flat = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else key)
    return flat
