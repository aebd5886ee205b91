"""A config's sections as plain values: every key that there is, and its default.

A section or key that nothing reads is an error. `configs/default.py` lists the keys with their
meaning. What comes here are dictionaries: `scoresde.build` makes them of a ConfigDict.
"""

from collections.abc import Mapping
from typing import Any

from scoresde.registry import UsageError, closest, lookup


def _take(section: str, options: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """`known` (key -> default) updated with `options`, none of which may be unknown."""
    for key in options:
        if key not in known:
            raise UsageError(
                f"Unknown key config.{section}{'.' if section else ''}{key}."
                f"{closest(key, list(known))} Known: {', '.join(known)}."
            )
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


def _loss_settings(options: dict[str, Any]) -> dict[str, Any]:
    objective = options.get("objective", "denoising")
    known = lookup("objective", _OBJECTIVES, objective)
    return _take("loss", options, {"objective": objective, **known})


_REQUIRED = object()

_SECTIONS = {
    "seed": 42,
    "data": _REQUIRED,
    "sde": _REQUIRED,
    "prediction": _REQUIRED,
    "network": _REQUIRED,
    "loss": {},
    "optimizer": {},
    "training": _REQUIRED,
    "sampler": {"name": "probability_flow"},
    "likelihood": {},
    "dequantizer": {},
}

_DATA = {
    "source": _REQUIRED,
    "image_shape": _REQUIRED,
    "data_range": (-1.0, 1.0),
    "dequantize": False,
    "flip": False,
    "labels": False,
}

_OBJECTIVES = {
    "denoising": {"weighting": "noise", "reduction": "mean", "times": {"name": "uniform"}},
    "variational": {},
}

_TRAINING = {
    "batch_size": _REQUIRED,
    "num_steps": _REQUIRED,
    "steps_per_dispatch": 1,
    "accumulate": 1,
    "ema_rate": 0.9999,
    "ema_warmup": "none",
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


def _complete(section: str, options: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    taken = _take(section, options, known)
    for key, value in taken.items():
        if value is _REQUIRED:
            raise UsageError(f"The config lacks config.{section}{'.' if section else ''}{key}.")
    return taken


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """All sections of a config of plain values, with defaults for the keys it leaves out.

    Raises:
        UsageError: an unknown section or key, or one that is missing.
    """
    sections = _complete("", dict(config), _SECTIONS)
    return sections | {
        "data": _complete("data", sections["data"], _DATA),
        "loss": _loss_settings(sections["loss"]),
        "optimizer": dict(sections["optimizer"]),
        "training": _complete("training", sections["training"], _TRAINING),
        "likelihood": _complete("likelihood", sections["likelihood"], _LIKELIHOOD),
        "dequantizer": _complete("dequantizer", sections["dequantizer"], _DEQUANTIZER),
    }
