"""The picture of a classifier's accuracy by the level of the noise."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from scoresde import files


def plot_accuracy(
    path: pathlib.Path, levels: Sequence[Mapping[str, Any]], classes: int | None = None
) -> None:
    """Writes accuracy and cross-entropy against the log-SNR as a PNG.

    Args:
        path: the file.
        levels: a part of the log-SNR each: its ends "log_snr", "accuracy", "stderr" and
            "cross_entropy".
        classes: their number, for what guessing reaches; None draws no such line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second to import
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    center = [sum(level["log_snr"]) / 2 for level in levels]
    half = [(level["log_snr"][1] - level["log_snr"][0]) / 2 for level in levels]
    accuracy = [level["accuracy"] for level in levels]
    left.errorbar(center, accuracy, [level["stderr"] for level in levels], half, fmt="o-")
    right.plot(center, [level["cross_entropy"] for level in levels], "o-")
    if classes:
        left.axhline(1 / classes, color="gray", linestyle="--", label="guessing")
        left.legend()
    left.set(xlabel="log SNR", ylabel="accuracy", ylim=(0, 1.02))
    right.set(xlabel="log SNR", ylabel="cross-entropy, nats", ylim=(0, None))
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")
