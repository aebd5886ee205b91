"""The picture of a run's loss at each level of the noise."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoresde import files
from scoresde.registry import UsageError


def plot_levels(
    path: pathlib.Path, rows: Sequence[Mapping[str, Any]], words: Sequence[str]
) -> None:
    """Writes "loss_by_noise/1", ... of a log against the steps as a PNG.

    Each curve is a running mean, over a 20th of its points.

    Args:
        path: the file.
        rows: what `scoresde.training.read_log` returns.
        words: the log-SNRs of each level, for the legend.

    Raises:
        UsageError: the log has none of these.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second to import
    from matplotlib.figure import Figure

    curves = {}
    for level, word in enumerate(words, start=1):
        name = f"loss_by_noise/{level}"
        if points := [(row["step"], row[name]) for row in rows if name in row]:
            curves[level, word] = np.asarray(points, np.float64).T
    if not curves:
        raise UsageError("The log holds no loss by the level of the noise.")
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss, without the weights of the times")
    colors = colormaps["viridis"](np.linspace(0, 0.92, len(words)))
    for (level, word), (steps, values) in curves.items():
        width = max(1, len(values) // 20)
        smooth = np.convolve(values, np.full(width, 1 / width), mode="valid")
        marker = "o" if len(smooth) == 1 else ""  # a line of one point would not show
        axes.plot(steps[width - 1 :], smooth, color=colors[level - 1], marker=marker, label=word)
    if all(np.all(values > 0) for _, values in curves.values()):
        axes.set_yscale("log")
    axes.grid(alpha=0.3, which="both")
    axes.legend(title="log SNR", loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")
