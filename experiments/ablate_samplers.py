"""Compare samplers: a config of cells in, the table and the figure of a paper out.

Example:
  python experiments/ablate_samplers.py --config experiments/configs/mixture.py --workdir runs/a
  python experiments/ablate_samplers.py --config experiments/configs/digits.py --workdir runs/b

Installed with pip, it is `python -m scoresde.experiments.ablate_samplers --config mixture`.

A cell is a sampler with its options and its number of `steps`, or `nfe`, the most evaluations that
its steps may take together. Every cell draws from the same seeds and is measured against the same
reference samples. Writes to the work directory:

  cells/*.json    a finished cell each; a sweep that is interrupted or extended keeps them
  results.csv     a row per cell
  results.md      a table per metric, the best of each column in bold
  results.png     quality against network evaluations, with the noise floor
  images/*.png    a grid per cell, if the samples are images
"""

import pathlib
import sys
import time
from typing import Any, NamedTuple

import jax
import numpy as np
from scoresde.experiments import cells as sweeps

from scoresde import Run, analytic, files, metrics, samplers, sdes
from scoresde.codecs import Codec
from scoresde.data import pictures
from scoresde.registry import UsageError, make, member

# Of a cell, what is not an option of its sampler.
_RUN = ("steps", "nfe", "grid")


class Problem(NamedTuple):
    """What is sampled, and from what truth.

    Attributes:
        denoiser: analytic, or a trained network.
        shape: of one sample.
        reference: samples of the data distribution, [n, *shape].
        other: as many more, independent of them: their distance is the noise floor.
        codec: None, or what decodes the samples to images.
    """

    denoiser: Any
    shape: tuple[int, ...]
    reference: jax.Array
    other: jax.Array
    codec: Codec | None = None


def mixture_problem(options: dict[str, Any], num: int, seed: int) -> Problem:
    """A Gaussian mixture with its exact denoiser."""
    sde = make("SDE", sdes.SDES, **options.pop("sde"))
    mixture = make("mixture", {"mixture": analytic.GaussianMixture}, "mixture", **options)
    keys = jax.random.split(jax.random.key(seed), 2)
    reference, other = (mixture.sample(key, num) for key in keys)
    return Problem(mixture.denoiser(sde), mixture.event_shape, reference, other)


def trained_problem(options: dict[str, Any], num: int, seed: int) -> Problem:
    """The model of a work directory, measured against its training images."""
    run = Run(options["workdir"])
    experiment = run.experiment
    images = experiment.source.splits["train"].images
    if 2 * num > len(images):
        raise UsageError(
            f"Two sets of num_samples={num} need {2 * num} images; there are {len(images)}."
        )
    rows = np.random.default_rng(seed).permutation(len(images))[: 2 * num]
    x = experiment.codec.encode(jax.random.key(seed), images[rows])
    denoiser = run.denoiser(options.get("step"), t_min=experiment.sampling.t_min)
    return Problem(denoiser, experiment.codec.shape, x[:num], x[num:], experiment.codec)


def sampler_of(cell: dict[str, Any]) -> tuple[Any, int | None, Any]:
    """The sampler of a cell, its number of steps and its grid."""
    options = dict(cell)
    steps, nfe, grid = (options.pop(key, None) for key in _RUN)
    sampler = samplers.get(**options)
    if nfe is None:
        return sampler, steps, grid
    if steps is not None or not hasattr(sampler, "steps_within"):
        raise UsageError(f"{cell['name']} takes nfe instead of steps, and not if it is adaptive.")
    return sampler, sampler.steps_within(nfe), grid


def run_cell(cell: dict[str, Any], problem: Problem, settings: dict[str, Any]) -> dict[str, Any]:
    """Samples and measures one cell. Returns its row and the samples."""
    sampler, steps, grid = sampler_of(cell)
    num, batch_size = settings["num_samples"], settings["batch_size"]
    key, parts, nfe = jax.random.key(settings["seed"] + 1), [], []
    start = time.perf_counter()
    for first in range(0, num, batch_size):
        count = min(batch_size, num - first)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, first + np.arange(count))
        drawn = samplers.sample(
            keys, sampler, problem.denoiser, (count, *problem.shape), steps=steps, grid=grid
        )
        parts.append(np.asarray(drawn.x))
        nfe.append(np.asarray(drawn.nfe))
    seconds = time.perf_counter() - start
    x = np.concatenate(parts)
    row = {"cell": cell, "steps": steps, "nfe": float(np.concatenate(nfe).mean())}
    row["seconds"] = round(seconds, 2)
    for name in settings["metrics"]:
        row[name] = distance(name, x, problem.reference)
    if not all(np.isfinite(row[name]) for name in settings["metrics"]):
        raise FloatingPointError("the samples are not finite")
    return row, x


def distance(name: str, x: Any, y: Any) -> float:
    """The metric called `name` between two sets of samples; all cells are compared alike."""
    return float(make("metric", metrics.METRICS, name)(jax.random.key(0), x, y))


def describe(cell: dict[str, Any]) -> str:
    """The sampler and its options, without the number of steps."""
    options = [f"{k}={v}" for k, v in cell.items() if k not in ("name", "steps", "nfe")]
    return cell["name"] + (f" ({', '.join(options)})" if options else "")


def budget(row: dict[str, Any]) -> int:
    """The column of a row: the evaluations that it was given, else those that it took."""
    return row["cell"].get("nfe", round(row["nfe"]))


def write_table(path: pathlib.Path, rows: list[dict], names: list[str], floors: dict) -> None:
    """Markdown: a row per sampler and a column per number of evaluations, best in bold."""
    text = []
    for name in names:
        nfes = sorted({budget(row) for row in rows})
        table: dict[str, dict[int, float]] = {}
        for row in rows:
            table.setdefault(describe(row["cell"]), {})[budget(row)] = row[name]
        best = {nfe: min(t[nfe] for t in table.values() if nfe in t) for nfe in nfes}
        text += [f"### {name} (noise floor {floors[name]:.4g})", ""]
        text += [f"| sampler \\ NFE | {' | '.join(map(str, nfes))} |"]
        text += ["|---" * (len(nfes) + 1) + "|"]
        for label, values in table.items():
            shown = [
                "" if nfe not in values
                else f"**{values[nfe]:.4g}**" if values[nfe] == best[nfe]
                else f"{values[nfe]:.4g}"
                for nfe in nfes
            ]  # fmt: skip
            text.append(f"| {label} | {' | '.join(shown)} |")
        text.append("")
    files.write_text(path, "\n".join(text))


def write_figure(path: pathlib.Path, rows: list[dict], names: list[str], floors: dict) -> None:
    """Quality against evaluations on logarithmic axes, a panel per metric."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(names), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = np.atleast_1d(figure.subplots(1, len(names)))
    for axes, name in zip(panels, names):
        curves: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            curves.setdefault(describe(row["cell"]), []).append((row["nfe"], row[name]))
        for label, points in curves.items():
            nfe, value = np.array(sorted(points)).T
            axes.plot(nfe, np.maximum(value, 1e-6), marker="o", markersize=3, label=label)
        if floors[name] > 0:
            axes.axhline(floors[name], color="gray", linestyle="--", label="noise floor")
        axes.set(xscale="log", yscale="log", xlabel="network evaluations (NFE)", ylabel=name)
        axes.grid(alpha=0.3, which="both")
    panels[-1].legend(fontsize=7)
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")


def write_results(workdir: pathlib.Path, rows: list[dict], names: list[str], floors: dict) -> None:
    """The CSV, the table and the figure of the finished cells."""
    options = sorted({key for row in rows for key in row["cell"]} - {"name", "steps", "nfe"})
    values = ["steps", "nfe", "seconds", *names]
    sweeps.write_csv(workdir / "results.csv", rows, ["name", *options], values)
    write_table(workdir / "results.md", rows, names, floors)
    write_figure(workdir / "results.png", rows, names, floors)


def sweep(settings: dict[str, Any], workdir: pathlib.Path) -> int:
    """Runs every cell of the config that has not been run, then writes the results.

    Returns 0 if every cell succeeded, else 1.
    """
    kinds = {"mixture": mixture_problem, "trained": trained_problem}
    options = dict(settings["problem"])
    make_problem = member("problem", kinds, options.pop("name"))
    cells = sweeps.expand(settings["sweep"])
    for cell in cells:  # a misspelt cell should not wait for its turn
        sampler_of(cell)
    names = list(settings["metrics"])
    for name in names:
        make("metric", metrics.METRICS, name)
    common = ("problem", "num_samples", "seed", "metrics")
    sweeps.check_common(workdir, {key: settings[key] for key in common})

    problem = make_problem(options, settings["num_samples"], settings["seed"])
    floors = {name: abs(distance(name, problem.other, problem.reference)) for name in names}

    def measure(cell, file):
        row, x = run_cell(cell, problem, settings)
        if problem.codec is not None:
            images = np.asarray(problem.codec.decode(x[:64]))
            path = workdir / "images" / f"{file.stem}.png"
            pictures.save_grid(path, images, bins=problem.codec.bins)
        return row

    def words(row):
        values = ", ".join(f"{name} {row[name]:.4g}" for name in names)
        return f"NFE {row['nfe']:.0f}, {values}, {row['seconds']:.1f} s"

    def label(cell):
        return f"{describe(cell)}, steps {sampler_of(cell)[1] or 'of its own'}"

    rows, failed = sweeps.run_cells(workdir, cells, measure, label, words)
    if rows:
        write_results(workdir, rows, names, floors)
    return sweeps.report(workdir, rows, cells, failed)


if __name__ == "__main__":
    sys.exit(sweeps.command("ablate_samplers", __doc__, sweep))
