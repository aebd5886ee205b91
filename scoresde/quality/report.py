"""The results of an evaluation: the record that JSON holds, and the page made of it."""

import json
import math
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from scoresde import files, jobs
from scoresde.quality.measures import HIGHER_IS_BETTER, Number, label
from scoresde.quality.page import page

DONE = "evaluation.json"
"""The file that says what was measured, and how."""


def plain(value: Any) -> Any:
    """`value` as JSON holds it: tuples are lists."""
    return json.loads(json.dumps(value))


def as_json(
    numbers: Mapping[str, Number], extractor: Any, names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The numbers by name, in the order in which they were asked for, for the record."""
    names = ["fd" if name == "fid" else name for name in names]
    order = sorted(numbers, key=lambda name: names.index(name) if name in names else len(names))
    return {
        name: {
            "label": label(name, extractor),
            "value": number.value,
            "error": number.error,
            "error_is": number.error_is,
        }
        for name, number in ((name, numbers[name]) for name in order)
    }


def versions() -> dict[str, str]:
    """What the numbers were made with."""
    from scoresde import __version__

    return {
        "scoresde": __version__,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": jax.devices()[0].device_kind,
    }


def best_row(rows: Sequence[Mapping[str, Any]]) -> int:
    """The number of the row whose first metric is best; one without a number is never that."""
    name = next(iter(rows[0]["metrics"]))
    sign = -1 if name in HIGHER_IS_BETTER else 1

    def key(number: int) -> float:
        value = rows[number]["metrics"][name]["value"]
        return math.inf if math.isnan(value) else sign * value

    return min(range(len(rows)), key=key)


def write_report(
    directory: pathlib.Path,
    result: Mapping[str, Any],
    pictures: Mapping[str, np.ndarray],
    *,
    bins: int = 256,
) -> list[pathlib.Path]:
    """Writes evaluation.json and report.html; returns where they are.

    Args:
        directory: of the results.
        result: what JSON holds: "metrics", "rows" and all that they depend on.
        pictures: "images", and "nearest" with "distances", of the row that is shown.
        bins: number of gray levels of the images.
    """
    shown = directory / "report.html"
    shown.unlink(missing_ok=True)  # that of other results
    files.write_json(directory / DONE, result)
    with jobs.picture(shown):
        files.write_text(shown, page(result, pictures, bins))
    return [path for path in (shown, directory / DONE) if path.exists()]
