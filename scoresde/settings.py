"""A config's sections as plain values: every key that there is, and its default or its type.

A section or key that nothing reads is an error. `configs/default.py` lists the keys with their
meaning. What comes here are dictionaries: `scoresde.build` makes them of a ConfigDict.
"""

import numbers
from collections.abc import Mapping
from typing import Any

from scoresde.registry import UsageError, closest, member


def _take(section: str, options: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """`known` (key -> default, or the type of a required one) updated with `options`.

    Raises:
        UsageError: an unknown key, a missing one, or a value of another type than its default.
    """
    prefix = f"config.{section}{'.' if section else ''}"
    for key in options:
        if key not in known:
            raise UsageError(
                f"Unknown key {prefix}{key}.{closest(key, list(known))} Known: {', '.join(known)}."
            )
    for key, default in known.items():
        required = isinstance(default, type)
        if required and key not in options:
            raise UsageError(f"The config lacks {prefix}{key}.")
        kind = default if required else type(default)
        value = options.get(key, default)
        if kind in _TYPES and not (value is None and key in _OR_NONE):
            types, words = _TYPES[kind]
            if not isinstance(value, types) or (kind is not bool and isinstance(value, bool)):
                raise UsageError(f"{prefix}{key} must be {words}, not {value!r}.")
    return {**known, **options}


def named(section: str, options: Any) -> dict[str, Any]:
    """A component's section, {"name": ..., options}, which may be its name alone.

    Raises:
        UsageError: there is no name.
    """
    if isinstance(options, str):
        return {"name": options}
    if not isinstance(options, dict) or "name" not in options:
        raise UsageError(f"config.{section} must be a name, or a section with a name.")
    return dict(options)


def _data_settings(options: dict[str, Any]) -> dict[str, Any]:
    taken = _take("data", options, _DATA)
    for key, kind, words in (
        ("image_shape", numbers.Integral, ("height", "width", "channels")),
        ("data_range", numbers.Real, ("low", "high")),
    ):
        values = taken[key]
        if len(values) != len(words) or not all(isinstance(value, kind) for value in values):
            raise UsageError(f"config.data.{key} must be ({', '.join(words)}), not {values}.")
    return taken


def _loss_settings(options: dict[str, Any]) -> dict[str, Any]:
    objective = options.get("objective", "denoising")
    known = member("objective", _OBJECTIVES, objective)
    return _take("loss", options, {"objective": objective, **known})


# By the type of a default: what a value may be, and that in words.
_TYPES = {
    bool: (bool, "True or False"),
    int: (numbers.Integral, "an integer"),
    float: (numbers.Real, "a number"),
    tuple: (tuple, "a tuple"),
    dict: (dict, "a section"),
}
# Keys whose None is not their default.
_OR_NONE = ("keep", "keep_every")

_SECTIONS = {
    "seed": 42,
    "data": dict,
    "sde": object,  # a section or a name
    "prediction": object,
    "network": object,
    "loss": {},
    "optimizer": {},
    "training": dict,
    "sampler": {"name": "probability_flow"},
    "likelihood": {},
    "dequantizer": {},
}

_DATA = {
    "source": object,
    "image_shape": tuple,
    "data_range": (-1.0, 1.0),
    "dequantize": False,
    "flip": False,
    "labels": False,
    "condition": (),
}

_OBJECTIVES = {
    "denoising": {"weighting": "noise", "reduction": "mean", "times": {"name": "uniform"}},
    "variational": {},
}

_TRAINING = {
    "batch_size": int,
    "num_steps": int,
    "steps_per_dispatch": 1,
    "accumulate": 1,
    "ema_rate": 0.9999,
    "ema_warmup": "none",
    "averages": {},
    "log_every": 50,
    "eval_every": 100,
    "sample_every": 50_000,
    "checkpoint_every": 10_000,
    "keep": 2,
    "keep_every": 50_000,
}

_LIKELIHOOD = {
    "probes": 1,
    "trace": "rademacher",
    "rtol": 1e-5,
    "atol": 1e-5,
    "log_prob_rtol": None,
    "log_prob_atol": None,
    "t_min": None,
    "correction": "none",
    "method": "dopri5",
    "precision": "float32",
    "batch_size": 128,
}

_DEQUANTIZER = {
    "network": {},
    "optimizer": {},
    "batch_size": 128,
    "num_steps": 300_001,
    "steps_per_dispatch": 1,
    "accumulate": 1,
    "ema_rate": 0.99,
    "log_every": 50,
    "checkpoint_every": 10_000,
    "keep": 2,
    "keep_every": None,
}


def defaults() -> dict[str, dict[str, Any]]:
    """What training reads where a config leaves it out, by section."""
    return {
        section: {key: value for key, value in known.items() if not isinstance(value, type)}
        for section, known in (("data", _DATA), ("training", _TRAINING))
    }


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """All sections of a config of plain values, with defaults for the keys it leaves out.

    Raises:
        UsageError: an unknown section or key, one that is missing, or a value of another type.
    """
    sections = _take("", dict(config), _SECTIONS)
    return sections | {
        "data": _data_settings(sections["data"]),
        "loss": _loss_settings(sections["loss"]),
        "optimizer": dict(sections["optimizer"]),
        "training": _take("training", sections["training"], _TRAINING),
        "likelihood": _take("likelihood", sections["likelihood"], _LIKELIHOOD),
        "dequantizer": _take("dequantizer", sections["dequantizer"], _DEQUANTIZER),
    }
