"""The table and the figure of an ablation: what differs, and what is at the noise floor."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scoresde import files
from scoresde.quality import HIGHER_IS_BETTER

Row = dict[str, Any]

_MARKERS = "os^vDP*X<>"


class Floor(NamedTuple):
    """What a metric says of two sets of true samples.

    Attributes:
        mean: over several pairs of sets.
        std: its standard deviation from pair to pair.
    """

    mean: float
    std: float

    @property
    def top(self) -> float:
        """Two standard deviations up: below it nothing tells samples from true ones."""
        return self.mean + 2 * self.std

    @property
    def bottom(self) -> float:
        """Two standard deviations down: the same, of a metric where higher is better."""
        return self.mean - 2 * self.std


def describe(cell: dict[str, Any]) -> str:
    """The sampler and its options, without the number of steps."""
    options = [f"{k}={v}" for k, v in cell.items() if k not in ("name", "steps", "nfe")]
    return cell["name"] + (f" ({', '.join(options)})" if options else "")


def budget(row: Row) -> int:
    """The column of a row: the evaluations that it was given, else those that it took."""
    return row["cell"].get("nfe", round(row["nfe"]))


def number(row: Row, name: str) -> str:
    """The value of a metric, with its standard deviation where there is one."""
    std = row[f"{name}_std"]
    return f"{row[name]:.4g}" + (f" ± {std:.1g}" if std else "")


def loss(row: Row, name: str) -> float:
    """The value of a metric, negative where higher is better."""
    return -row[name] if name in HIGHER_IS_BETTER else row[name]


def is_best(row: Row, column: Sequence[Row], name: str, floor: Floor) -> bool:
    """Whether no row of a column is better: at the noise floor, or within the errors of the least.

    Values at the floor are all alike, however they are ordered.
    """
    least = min(column, key=lambda row: loss(row, name))
    error = np.hypot(row[f"{name}_std"], least[f"{name}_std"])
    at_floor = -floor.bottom if name in HIGHER_IS_BETTER else floor.top
    return loss(row, name) <= max(at_floor, loss(least, name) + error)


def write_table(
    path: pathlib.Path, rows: Sequence[Row], names: Sequence[str], floors: dict[str, Floor]
) -> None:
    """Markdown: a row per sampler and a column per number of evaluations, the best in bold."""
    text = []
    for name in names:
        columns: dict[int, dict[str, Row]] = {}
        for row in rows:
            columns.setdefault(budget(row), {})[describe(row["cell"])] = row
        nfes, floor = sorted(columns), floors[name]
        text += [f"### {name}", ""]
        text += [
            f"Noise floor {floor.mean:.4g} ± {floor.std:.1g}; what equals the best is bold.",
            "",
        ]
        text += [f"| sampler \\ NFE | {' | '.join(map(str, nfes))} |"]
        text += ["|---" * (len(nfes) + 1) + "|"]
        for label in dict.fromkeys(describe(row["cell"]) for row in rows):
            shown = []
            for nfe in nfes:
                row = columns[nfe].get(label)
                if row is None:
                    shown.append("")
                elif is_best(row, list(columns[nfe].values()), name, floor):
                    shown.append(f"**{number(row, name)}**")
                else:
                    shown.append(number(row, name))
            text.append(f"| {label} | {' | '.join(shown)} |")
        text.append("")
    files.write_text(path, "\n".join(text))


def write_figure(
    path: pathlib.Path, rows: Sequence[Row], names: Sequence[str], floors: dict[str, Floor]
) -> None:
    """Quality against evaluations, a panel per metric, with error bars and the noise floor."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(names) + 3, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(1, len(names)))
    colors = matplotlib.color_sequences["tab10"]
    for axes, name in zip(panels, names):
        curves: dict[str, list[tuple[float, float, float]]] = {}
        for row in rows:
            point = row["nfe"], row[name], row[f"{name}_std"]
            curves.setdefault(describe(row["cell"]), []).append(point)
        for i, (label, points) in enumerate(curves.items()):
            nfe, value, std = np.array(sorted(points)).T
            turn, color = divmod(i, len(colors))  # a color comes again with another line and marker
            axes.errorbar(
                *(nfe, value, std),
                label=label,
                color=colors[color],
                linestyle=("-", "--", ":")[turn % 3],
                marker=_MARKERS[(i + turn) % len(_MARKERS)],
                markersize=4,
                capsize=2,
            )
        floor = floors[name]
        axes.axhspan(floor.mean - 2 * floor.std, floor.top, color="gray", alpha=0.25)
        axes.axhline(floor.mean, color="gray", linewidth=0.8, label="noise floor, ± 2 std")
        axes.set(xscale="log", xlabel="network evaluations (NFE)", ylabel=name)
        # Unbiased estimates may be negative: around zero, within the floor, the axis is linear.
        if min(min(row[name] - row[f"{name}_std"] for row in rows), floor.mean) > 0:
            axes.set_yscale("log")
        else:
            axes.set_yscale("symlog", linthresh=max(abs(floor.mean) + 2 * floor.std, 1e-12))
        axes.grid(alpha=0.3, which="both")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")
