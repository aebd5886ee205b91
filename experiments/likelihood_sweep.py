"""Likelihoods: what accuracy costs.

Example:
  python experiments/likelihood_sweep.py --config experiments/configs/likelihood_mixture.py \\
      --workdir runs/a
  python experiments/likelihood_sweep.py --config experiments/configs/likelihood_digits.py \\
      --workdir runs/b

Installed with pip, it is `python -m scoresde.experiments.likelihood_sweep`, and a config its name.

A cell is a bound ("exact" by default) with its options: tolerance (of both kinds), rtol, atol,
probes, trace, t_min, samples, repeats, ...; on images also dequantizer and dequantizer_std. Every
cell sees the same images and the same noise. On a mixture the error against the exact log density
is measured, in nats/dim; on the images of a trained model, bits/dim. Writes to the work directory:

  cells/*.json    a finished cell each; a sweep that is interrupted or extended keeps them
  results.csv     a row per cell
  results.md      the table
  results.png     value, and spread or error, against network evaluations and against seconds
"""

import inspect
import math
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from scoresde import Run, analytic, evaluation, files, sdes
from scoresde.experiments import cells as sweeps
from scoresde.keys import sample_keys
from scoresde.likelihood import LIKELIHOODS
from scoresde.registry import UsageError, closest, lookup, make, member
from scoresde.runs import LikelihoodProtocol

_DEQUANTIZATION = ("dequantizer", "dequantizer_std")


class Problem(NamedTuple):
    """What is evaluated.

    Attributes:
        estimator: from a bound, its options and the options of dequantization to a function
            (numbers of the images [batch], pass) -> arrays [batch] by name, see
            `scoresde.evaluation.in_passes`; and the function from its nats to what is reported.
        unit: what is reported: "error" (nats/dim) or "bits_per_dim".
        dequantizes: whether there are levels to dequantize.
    """

    estimator: Callable[[str, dict, dict], tuple[Callable, Callable]]
    unit: str
    dequantizes: bool


def _keys(settings, rows, number):
    """Keys of images, for the noise in their bins and for all else; the same in every cell."""
    key = jax.random.fold_in(jax.random.key(settings["seed"]), number)
    return (sample_keys(key, len(rows), rows[0]) for key in jax.random.split(key))


def mixture_problem(options: dict[str, Any], settings: dict[str, Any]) -> Problem:
    """Samples of a Gaussian mixture, with its exact denoiser and its exact density."""
    sde = make("SDE", sdes.SDES, **options.pop("sde"))
    mixture = make("mixture", {"mixture": analytic.GaussianMixture}, "mixture", **options)
    denoiser = mixture.denoiser(sde)
    x = mixture.sample(jax.random.key(settings["seed"] + 1), settings["num_images"])
    truth = np.asarray(mixture.log_prob(x), np.float64)[:, None]
    dims = math.prod(mixture.event_shape)

    def estimator(bound, options, dequantization):
        del dequantization
        likelihood = make("bound", LIKELIHOODS, bound, **options)

        def estimate(rows, number):
            _, keys = _keys(settings, rows, number)
            result = likelihood(keys, denoiser, x[np.minimum(rows, len(x) - 1)])
            return {name: getattr(result, name) for name in ("nats", "stderr", "nfe")}

        return estimate, lambda nats: (nats - truth) / dims

    return Problem(estimator, "error", False)


def trained_problem(options: dict[str, Any], settings: dict[str, Any]) -> Problem:
    """The first images of a split, and the model of a work directory."""
    run = Run(options["workdir"])
    experiment, denoiser = run.experiment, run.denoiser(options.get("step"))
    split, num = experiment.source.splits[options.get("split", "test")], settings["num_images"]
    if num > len(split):
        raise UsageError(f"num_images={num}, but there are {len(split)} images.")

    def estimator(bound, options, dequantization):
        protocol = LikelihoodProtocol(bound=bound, options=options, **dequantization)
        made, _ = protocol.estimator(experiment, denoiser.sde, run.workdir)

        def estimate(rows, number):
            noise_keys, keys = _keys(settings, rows, number)
            batch = split.batch(np.minimum(rows, num - 1))
            condition = experiment.condition_of(batch)
            result = made(noise_keys, keys, denoiser, batch["image"], condition)
            return {name: getattr(result, name) for name in ("nats", "stderr", "nfe")}

        dims = math.prod(experiment.shape)
        return estimate, lambda nats: np.asarray(made.bits_per_dim(nats, dims), np.float64)

    return Problem(estimator, "bits_per_dim", True)


def parse_cell(cell: dict[str, Any], dequantizes: bool) -> tuple[str, dict, dict]:
    """The bound of a cell, its options, and those of dequantization.

    Raises:
        UsageError: an unknown bound, or an option that it does not have.
    """
    options = dict(cell)
    bound = options.pop("bound", "exact")
    kind = lookup("bound", LIKELIHOODS, bound)
    dequantization = {}
    if dequantizes:
        dequantization = {name: options.pop(name) for name in _DEQUANTIZATION if name in options}
    if "tolerance" in options:
        options["rtol"] = options["atol"] = options.pop("tolerance")
    known = list(inspect.signature(kind).parameters)
    for name in options:
        if name not in known:
            raise UsageError(
                f"The bound {bound!r} has no option {name!r}.{closest(name, known)} "
                f"Known: {', '.join(known)}."
            )
    return bound, options, dequantization


def run_cell(cell: dict[str, Any], problem: Problem, settings: dict[str, Any]) -> dict[str, Any]:
    """Evaluates one cell. Returns its row."""
    estimate, reported = problem.estimator(*parse_cell(cell, problem.dequantizes))
    num = settings["num_images"]
    batch_size = min(settings["batch_size"], num)
    passes = settings["passes"]
    jax.block_until_ready(estimate(np.arange(batch_size), 0))  # compiles
    start = time.perf_counter()
    results = evaluation.in_passes(estimate, num=num, batch_size=batch_size, passes=passes)
    seconds = time.perf_counter() - start
    values = np.asarray(reported(results["nats"]), np.float64)
    if not np.isfinite(values).all():
        raise FloatingPointError(f"{int((~np.isfinite(values)).sum())} values are not finite")
    scale = abs(float(np.mean(reported(results["nats"] + 1.0) - values)))
    error = evaluation.standard_error(values, scale * results["stderr"])
    return {
        "cell": cell,
        problem.unit: float(values.mean()),
        "rms": float(np.sqrt(np.mean(values**2))),
        "standard_error": error.total,
        "standard_error_of_probes": error.probes,
        "nfe": float(results["nfe"].mean()),
        "seconds_per_image": seconds / num / passes,
    }


def describe(cell: dict[str, Any]) -> str:
    """A cell in words."""
    options = [f"{key}={value}" for key, value in cell.items() if key != "bound"]
    return ", ".join([cell.get("bound", "exact"), *options])


def write_table(path: pathlib.Path, rows: list[dict], unit: str) -> None:
    """Markdown: a row per cell."""
    shown = "mean error, nats/dim" if unit == "error" else "bits/dim"
    names = [shown, *(["rms error"] if unit == "error" else []), "standard error", "of probes"]
    names += ["NFE", "ms/image"]
    text = [f"| cell | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for row in rows:
        values = [f"{row[unit]:.5f}"]
        values += [f"{row['rms']:.2g}"] if unit == "error" else []
        for name in ("standard_error", "standard_error_of_probes"):
            values.append("" if row[name] is None else f"{row[name]:.2g}")
        values += [f"{row['nfe']:.0f}", f"{1e3 * row['seconds_per_image']:.3g}"]
        text.append(f"| {describe(row['cell'])} | {' | '.join(values)} |")
    files.write_text(path, "\n".join([*text, ""]))


def write_figure(path: pathlib.Path, rows: list[dict], unit: str) -> None:
    """Accuracy against cost; cells that differ in their tolerances only are joined by a line."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves: dict[str, list[dict]] = {}
    for row in rows:
        tolerances = ("tolerance", "rtol", "atol", "samples", "repeats", "steps")
        cell = {key: value for key, value in row["cell"].items() if key not in tolerances}
        curves.setdefault(describe(cell), []).append(row)
    figure = Figure(figsize=(14, 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    costs = {"nfe": "network evaluations (NFE)", "seconds_per_image": "seconds an image"}
    for axes, (cost, words) in zip(panels, costs.items()):
        axes.set_prop_cycle(color=colormaps["tab20"].colors)
        for label, points in curves.items():
            points = sorted(points, key=lambda row: row[cost])
            x = [row[cost] for row in points]
            if unit == "error":
                axes.plot(x, [max(row["rms"], 1e-7) for row in points], marker="o", label=label)
            else:
                spread = [row["standard_error_of_probes"] or 0.0 for row in points]
                axes.errorbar(
                    x, [row[unit] for row in points], spread, marker="o", capsize=3, label=label
                )
        axes.set(xscale="log", xlabel=words)
        axes.grid(alpha=0.3, which="both")
    if unit == "error":
        panels[0].set(yscale="log", ylabel="rms error of log p, nats/dim")
    else:
        panels[0].set_ylabel("bits/dim, with the error of the probes")
    labels = panels[0].get_legend_handles_labels()
    figure.legend(*labels, loc="outside right upper", fontsize=7)
    with files.replacing(path) as file:
        figure.savefig(file, dpi=150, format="png")


def sweep(settings: dict[str, Any], workdir: pathlib.Path) -> int:
    """Runs every cell of the config that has not been run, then writes the results.

    Returns 0 if every cell succeeded, else 1.
    """
    kinds = {"mixture": mixture_problem, "trained": trained_problem}
    options = dict(settings["problem"])
    name = options.pop("name")
    make_problem = member("problem", kinds, name)
    cells = sweeps.expand(settings["sweep"])
    for cell in cells:  # a misspelled cell should not wait for its turn
        parse_cell(cell, name != "mixture")
    common = ("problem", "num_images", "passes", "batch_size", "seed")
    sweeps.check_common(workdir, {key: settings[key] for key in common})
    problem = make_problem(options, settings)
    unit = problem.unit

    def words(row):
        seconds = 1e3 * row["seconds_per_image"]
        return f"{unit} {row[unit]:.5f}, NFE {row['nfe']:.0f}, {seconds:.3g} ms an image"

    rows, failed = sweeps.run_cells(
        workdir, cells, lambda cell, file: run_cell(cell, problem, settings), describe, words
    )
    if rows:
        keys = list(dict.fromkeys(key for row in rows for key in row["cell"]))
        values = [key for key in rows[0] if key != "cell"]
        sweeps.write_csv(workdir / "results.csv", rows, keys, values)
        write_table(workdir / "results.md", rows, unit)
        write_figure(workdir / "results.png", rows, unit)
    return sweeps.report(workdir, rows, cells, failed)


if __name__ == "__main__":
    sys.exit(sweeps.command("likelihood_sweep", __doc__, sweep))
