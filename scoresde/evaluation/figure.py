"""The picture of an evaluation: the distribution of bits/dim, and the images at its ends."""

import pathlib

import numpy as np

from scoresde import files
from scoresde.data import pictures

_SHOWN = 8
_GRAY = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}


def plot_likelihood(
    path: pathlib.Path,
    bits: np.ndarray,
    images: np.ndarray,
    *,
    bins: int,
    title: str = "",
    baseline: np.ndarray | None = None,
) -> None:
    """Writes a histogram of bits/dim with the best and the worst images as a PNG.

    Channels that are neither gray nor RGB stand side by side.

    Args:
        path: the file.
        bits: bits/dim of each image, [n].
        images: their levels, [n, height, width, channels].
        bins: number of gray levels.
        title: above the histogram.
        baseline: None, or the bits/dim of another model, [n].
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second to import
    from matplotlib.figure import Figure

    finite = np.flatnonzero(np.isfinite(bits))
    order = finite[np.argsort(bits[finite], kind="stable")]
    shown = min(_SHOWN, len(order))
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, _SHOWN, height_ratios=(3, 1, 1))
    axes = figure.add_subplot(grid[0, :])
    series = {"model": bits[finite]}
    if baseline is not None:
        series["fitted Gaussian"] = baseline[np.isfinite(baseline)]
    together = np.concatenate(list(series.values()))
    if together.size:
        edges = np.histogram_bin_edges(together, bins=min(50, 5 + len(bits) // 5))
        for name, values in series.items():
            if values.size:
                label = f"{name}: mean {values.mean():.4f}"
                _, _, bars = axes.hist(values, edges, alpha=0.6, label=label)
                axes.axvline(values.mean(), color=bars[0].get_facecolor(), linestyle="--")
        axes.legend()
    axes.set(xlabel="bits/dim", ylabel="images", title=title)
    for row, (name, chosen) in enumerate(
        (("best", order[:shown]), ("worst", order[::-1][:shown])), start=1
    ):
        for column, number in enumerate(chosen):
            panel = figure.add_subplot(grid[row, column])
            picture = pictures.drawable(images[number]) / (bins - 1)
            panel.imshow(picture.squeeze(-1) if picture.shape[-1] == 1 else picture, **_GRAY)
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_title(f"{bits[number]:.3f}", fontsize=8)
            if column == 0:
                panel.set_ylabel(name)
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")
