"""The table and the figure of `guidance_study`: what each method reaches, beside the truth."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from scoresde import files

Row = dict[str, Any]

# What tells the cells of one method and one posterior apart.
_WAY = ("process", "sampler", "steps")


def describe(cell: Row) -> str:
    """A cell in words."""
    return ", ".join([posterior_of(cell), method_of(cell), *(str(cell[key]) for key in _WAY)])


def posterior_of(cell: Row) -> str:
    """The posterior of a cell in words."""
    return cell["data"] + (f", noise {cell['noise']}" if "noise" in cell else "")


def method_of(cell: Row) -> str:
    """The method of a cell in words, with its options."""
    known = ("data", "noise", "method", *_WAY)
    options = [f"{key}={value}" for key, value in cell.items() if key not in known]
    return ", ".join([cell["method"], *options])


def posteriors(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each posterior, the rows of a method together."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(posterior_of(row["cell"]), []).append(row)
    for name, own in found.items():
        order = list(dict.fromkeys(method_of(row["cell"]) for row in own))
        found[name] = sorted(own, key=lambda row: order.index(method_of(row["cell"])))
    return found


def numbers(values: Any, digits: int = 3) -> str:
    """Numbers one after another; of a matrix, those on and above its diagonal."""
    values = np.asarray(values)
    if values.ndim == 2:
        values = values[np.triu_indices(len(values))]
    return ", ".join(f"{value:.{digits}f}" for value in values)


def write_table(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Markdown: a table per posterior, a row per cell after that of the truth."""
    columns = ("mean", "covariance", "weights")
    text = []
    for name, own in posteriors(rows).items():
        truth, floor = own[0]["truth"], own[0]["sliced_wasserstein_floor"]
        known = [numbers(truth[column]) for column in columns]
        text += [f"### {name}", ""]
        text += ["| method | process | sampler | steps | mean | covariance | weights | sliced W2 |"]
        text += ["|---" * 8 + "|"]
        text += [f"| **posterior** | | | | {' | '.join(known)} | floor {floor:.3f} |"]
        for row in own:
            way = [str(row["cell"][key]) for key in _WAY]
            found = [numbers(row["measured"][column]) for column in columns]
            values = [method_of(row["cell"]), *way, *found, f"{row['sliced_wasserstein']:.3f}"]
            text.append(f"| {' | '.join(values)} |")
        text.append("")
    files.write_text(path, "\n".join(text))


def write_figure(path: pathlib.Path, rows: Sequence[Row]) -> None:
    """Sliced Wasserstein distance by method, a panel per posterior, at the most steps of each."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = posteriors(rows)
    methods = list(dict.fromkeys(method_of(row["cell"]) for row in rows))
    ways = list(dict.fromkeys((row["cell"]["process"], row["cell"]["sampler"]) for row in rows))
    columns = min(len(panels), 4)
    lines = -(-len(panels) // columns)
    size = (3.1 * columns + 2.2, 0.9 + lines * (0.6 + 0.24 * len(methods)))
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    shape = {"sharey": True, "squeeze": False}
    places = figure.subplots(lines, columns, **shape).flat
    colors, markers = matplotlib.color_sequences["tab10"], "osv^DPX*"
    for axes, (name, own) in zip(places, panels.items()):
        floor = own[0]["sliced_wasserstein_floor"]
        axes.axvline(floor, color="gray", linewidth=0.8)
        axes.axvspan(floor / 2, floor, color="gray", alpha=0.2)
        most: dict[tuple, Row] = {}
        for row in own:
            cell = row["cell"]
            key = method_of(cell), (cell["process"], cell["sampler"])
            if key not in most or most[key]["cell"]["steps"] < cell["steps"]:
                most[key] = row
        for i, way in enumerate(ways):
            points = [
                (row["sliced_wasserstein"], methods.index(method) + 0.12 * (i - len(ways) / 2))
                for (method, own_way), row in most.items()
                if own_way == way
            ]
            if points:
                style = {"color": colors[i % 10], "marker": markers[i % 8], "alpha": 0.8}
                axes.plot(*zip(*points), linestyle="none", markersize=5, **style)
        axes.set(xscale="log", title=name, xlabel="sliced Wasserstein-2")
        axes.set_yticks(range(len(methods)), methods, fontsize=8)
        axes.invert_yaxis() if axes is figure.axes[0] else None
        axes.grid(alpha=0.3, which="major")
    for axes in places:
        axes.set_axis_off()
    handles = [
        matplotlib.lines.Line2D([], [], color=colors[i % 10], marker=markers[i % 8], linestyle="")
        for i in range(len(ways))
    ]
    labels = [f"{process}, {sampler}" for process, sampler in ways]
    figure.legend(handles, labels, loc="outside right upper", fontsize=7)
    with files.replacing(path) as file:
        figure.savefig(file, dpi=100, format="png")
