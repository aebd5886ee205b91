"""A report as one HTML page that needs nothing else: pictures are within it."""

import base64
import html
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scoresde.data.pictures import image_grid

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; }
th { font-weight: 600; border-bottom: 1px solid #999; } td:first-child, th:first-child
{ text-align: left; } tr.best td { font-weight: 600; background: #eef6ee; }
table.protocol td { text-align: left; vertical-align: top; font-size: .9rem;
                    overflow-wrap: anywhere; border-bottom: 1px solid #eee; }
img { max-width: 100%; image-rendering: pixelated; } p.note, figcaption { color: #666;
font-size: .9rem; } figure { margin: 0; } div.wide { overflow-x: auto; }
"""

_NEAREST = 16  # samples that are shown with their neighbors


def page(result: Mapping[str, Any], pictures: Mapping[str, np.ndarray], bins: int = 256) -> str:
    """The page of an evaluation.

    Args:
        result: what evaluation.json holds.
        pictures: "images" [n, height, width, channels], and "nearest" of them with "distances".
        bins: number of gray levels.
    """
    title = "Evaluation of " + _words(result.get("cell", {}))
    parts = [f"<h1>{_text(title)}</h1>", _measured(result)]
    if len(result.get("rows", ())) > 1:
        parts += ["<h2>All that was evaluated</h2>", _rows(result), _curves(result)]
    if "images" in pictures:
        parts += [
            "<h2>Samples</h2>",
            _picture(image_grid(pictures["images"], bins=bins), "Samples"),
        ]
        if "nearest" in pictures:
            parts.append(_neighbors(pictures, bins))
    parts += ["<h2>What the numbers depend on</h2>", _protocol(result)]
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _measured(result):
    """The numbers, each with its error, what that is, and the noise floor."""
    floor = result.get("floor")
    head = ["", "value", "error", *([f"{floor['images']}"] if floor else []), "the error is"]
    lines = []
    for name, number in result["metrics"].items():
        cells = [_text(number["label"]), _number(number["value"]), _number(number["error"])]
        if floor:
            there = floor["metrics"].get(name)
            cells.append(_number(there["value"]) if there else "")
        lines.append([*cells, _text(number["error_is"])])
    table = _table([_text(cell) for cell in head], lines)
    count = f"{result['num']:,} samples" if "num" in result else "The images"
    note = f"{count} against {_text(_reference(result))}."
    if floor:
        note += (
            f" Beside them what true images have, {_text(floor['images'])}: a Frechet distance "
            "falls with the number of images, so that only equal numbers compare."
        )
    if bad := result.get("unfinished"):
        note += f" <b>{bad} of the samples are not finite</b>, and counted as gray images."
    return f'<div class="wide">{table}</div>\n<p class="note">{note}</p>'


def _reference(result):
    about = result.get("reference", {})
    name = about.get("data") or about.get("file") or about.get("folder") or "the reference"
    images = about.get("images")
    return f"{images:,} images ({name})" if images else str(name)


def _rows(result):
    rows = result["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["metrics"]))
    keys = list(dict.fromkeys(key for row in rows for key in row["cell"]))
    labels = {name: row["metrics"][name]["label"] for row in rows for name in row["metrics"]}
    lines = []
    for row in rows:
        cells = [_text(row["cell"].get(key, "")) for key in keys]
        cells += [_number(row.get("nfe_mean"), 0), _text(row["seed"])]
        for name in names:
            number = row["metrics"].get(name)
            cells.append(_with_error(number) if number else "")
        lines.append(cells)
    best = [row["cell"] == result["cell"] and row["seed"] == result["seed"] for row in rows]
    head = [*keys, "NFE", "seed", *(labels[name] for name in names)]
    return f'<div class="wide">{_table([_text(cell) for cell in head], lines, best)}</div>'


def _curves(result):
    """Every metric against what changes from row to row, as far as that is numbers."""
    rows = [row for row in result["rows"] if row["seed"] == result["rows"][0]["seed"]]
    keys = [key for row in rows[:1] for key in row["cell"]]
    axes = [key for key in keys if len({str(row["cell"].get(key)) for row in rows}) > 1]
    axes = [key for key in axes if all(_is_number(row["cell"].get(key)) for row in rows)]
    if not axes:
        return ""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # a second to import
    from matplotlib.figure import Figure

    axis, names = axes[0], list(rows[0]["metrics"])
    figure = Figure(
        figsize=(4.2 * min(3, len(names)), 3 * -(-len(names) // 3)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(names) // 3), min(3, len(names)), squeeze=False).flat
    series: dict[str, list] = {}
    for row in rows:
        others = {k: v for k, v in row["cell"].items() if k != axis}
        changing = {k: v for k, v in others.items() if len({str(r["cell"][k]) for r in rows}) > 1}
        series.setdefault(_words(changing), []).append(row)
    for name, panel in zip(names, panels):
        for words, members in series.items():
            members = sorted(members, key=lambda row: row["cell"][axis])
            numbers = [row["metrics"][name] for row in members]
            panel.errorbar(
                [row["cell"][axis] for row in members],
                [number["value"] for number in numbers],
                [number["error"] or 0 for number in numbers],
                marker="o",
                capsize=3,
                label=words,
            )
        floor = (result.get("floor") or {"metrics": {}})["metrics"].get(name)
        if floor:
            panel.axhline(floor["value"], color="gray", linestyle="--", label="true images")
        panel.set(xlabel=axis, ylabel=rows[0]["metrics"][name]["label"])
        if any(series) or floor:
            panel.legend(fontsize=8)
    for panel in list(panels):  # those that are left
        panel.remove()
    file = io.BytesIO()
    figure.savefig(file, dpi=110, format="png")
    return f"<figure>{_image(file.getvalue(), 'Metrics along the evaluation')}</figure>"


def _neighbors(pictures, bins):
    shown = min(_NEAREST, len(pictures["images"]))
    both = np.concatenate([pictures["images"][:shown], pictures["nearest"][:shown]])
    caption = (
        "Samples, and below each the training image that is nearest to it in feature space. A "
        "model that copies its training images shows it here."
    )
    return "<h2>Nearest training images</h2>" + _picture(
        image_grid(both, columns=shown, bins=bins), caption
    )


def _protocol(result):
    skipped = ("metrics", "rows", "floor", "files", "label")
    flat = _flat({key: value for key, value in result.items() if key not in skipped})
    lines = "".join(f"<tr><td>{_text(k)}</td><td>{_text(v)}</td></tr>" for k, v in flat.items())
    return f'<table class="protocol">{lines}</table>'


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping) or not values:
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], best: Sequence[bool] = ()) -> str:
    rows = "".join(f"<th>{cell}</th>" for cell in head)
    text = f"<tr>{rows}</tr>"
    for number, line in enumerate(lines):
        mark = ' class="best"' if number < len(best) and best[number] else ""
        text += f"<tr{mark}>" + "".join(f"<td>{cell}</td>" for cell in line) + "</tr>"
    return f"<table>{text}</table>"


def _picture(grid: np.ndarray, caption: str) -> str:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(grid[..., 0] if grid.shape[2] == 1 else grid).save(file, format="png")
    image = _image(file.getvalue(), caption)
    return f"<figure>{image}<figcaption>{_text(caption)}</figcaption></figure>"


def _image(content: bytes, words: str) -> str:
    data = base64.b64encode(content).decode()
    return f'<img alt="{_text(words)}" src="data:image/png;base64,{data}">'


def _with_error(number: Mapping[str, Any]) -> str:
    error = number["error"]
    return _number(number["value"]) + ("" if error is None else f" ± {_number(error)}")


def _number(value: float | None, digits: int = 4) -> str:
    if value is None:
        return ""
    if digits == 0:
        return f"{value:.0f}"
    return "not a number" if math.isnan(value) else f"{value:.{digits}g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(cell: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in cell.items())


def _text(value: Any) -> str:
    return html.escape(str(value))
