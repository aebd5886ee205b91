"""Compare samplers: a config of cells in, the table and the figure of a paper out.

Example:
  python experiments/ablate_samplers.py --config experiments/configs/mixture.py --workdir runs/a
  python experiments/ablate_samplers.py --config experiments/configs/digits.py --workdir runs/b

Installed with pip, it is `python -m scoresde.experiments.ablate_samplers --config mixture`.

A cell is a sampler with its options and its number of `steps`, or `nfe`, the most evaluations that
its steps may take together. Every cell draws from the same seeds, `repeats` times, and is measured
against the same reference samples. Writes to the work directory:

  cells/*.json    a finished cell each; a sweep that is interrupted or extended keeps them
  results.csv     a row per cell: means over the repeats and their standard deviations
  results.md      a table per metric, the best of each column in bold, with what equals it
  results.png     quality against network evaluations, with the noise floor
  images/*.png    a grid per cell, if the samples are images

Metrics are those of `scoresde.metrics.METRICS`, between the samples themselves, and of images those
of `scoresde.quality.MEASURES` ("fd", "kid", "precision", ...), between their features: `features`
of the problem names the extractor. "fid" is "fd" of Inception's.
"""

import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from scoresde import Run, analytic, jobs, metrics, quality, samplers, sdes, training
from scoresde.codecs import Codec
from scoresde.data import pictures
from scoresde.experiments import ablation_results as presentation
from scoresde.experiments import cells as sweeps
from scoresde.registry import UsageError, make, member
from scoresde.runs import QualityProtocol

# Of a cell, what is not an option of its sampler.
_RUN = ("steps", "nfe", "grid")

# Sets of true samples whose distances to the reference are the noise floor.
_FLOORS = 5


class Problem(NamedTuple):
    """What is sampled, and from what truth.

    Attributes:
        denoiser: analytic, or a trained network.
        shape: of one sample.
        reference: samples of the data distribution, [n, *shape].
        others: as many more, several times: their distances are the noise floor.
        codec: None, or what decodes the samples to images.
        extractor: None, or what makes features of those.
        seen: the reference's features, where a metric is of features.
    """

    denoiser: Any
    shape: tuple[int, ...]
    reference: jax.Array
    others: Sequence[jax.Array]
    codec: Codec | None = None
    extractor: Any = None
    seen: quality.FeatureSet | None = None


def mixture_problem(options: dict[str, Any], num: int, seed: int) -> Problem:
    """A Gaussian mixture with its exact denoiser."""
    sde = make("SDE", sdes.SDES, **options.pop("sde"))
    mixture = make("mixture", {"mixture": analytic.GaussianMixture}, "mixture", **options)
    keys = jax.random.split(jax.random.key(seed), 1 + _FLOORS)
    reference, *others = (mixture.sample(key, num) for key in keys)
    return Problem(mixture.denoiser(sde), mixture.event_shape, reference, others)


def trained_problem(options: dict[str, Any], num: int, seed: int) -> Problem:
    """The model of a work directory, measured against its training images."""
    run = Run(options["workdir"])
    experiment = run.experiment
    images = experiment.source.splits["train"].images
    if 2 * num > len(images):
        raise UsageError(
            f"Two sets of num_samples={num} need {2 * num} images; there are {len(images)}."
        )
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(images))
    x = experiment.codec.encode(jax.random.key(seed), images[rows])
    others = [x[rng.permutation(np.arange(num, len(x)))[:num]] for _ in range(_FLOORS)]
    denoiser = run.denoiser(options.get("step"), t_min=experiment.sampling.t_min)
    codec = experiment.codec
    return Problem(experiment.sampling.clipped(denoiser), codec.shape, x[:num], others, codec)


def with_features(problem: Problem, options: dict[str, Any], names: list[str]) -> Problem:
    """The problem with what measures need that are of features.

    Raises:
        UsageError: there are no such features, or a FID of other ones is asked for.
    """
    source = Run(options["workdir"]).experiment.source.name
    extractor = QualityProtocol(extractor=options.get("features")).extractor_for(source)
    quality.measures([name for name in names if is_measure(name)], extractor)
    problem = problem._replace(extractor=extractor)
    return problem._replace(seen=features_of(problem.reference, problem))


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


def draw(
    key: jax.Array, cell: dict[str, Any], problem: Problem, num: int, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """`num` samples of a cell, and the evaluations that each took."""
    sampler, steps, grid = sampler_of(cell)
    parts = []
    for first in range(0, num, batch_size):
        count = min(batch_size, num - first)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, first + np.arange(count))
        drawn = samplers.sample(
            keys, sampler, problem.denoiser, (count, *problem.shape), steps=steps, grid=grid
        )
        parts.append((np.asarray(drawn.x), np.asarray(drawn.nfe)))
    x, nfe = map(np.concatenate, zip(*parts))
    return x, nfe


def run_cell(
    cell: dict[str, Any], problem: Problem, settings: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray]:
    """Samples and measures one cell. Returns its row and the samples of the first repeat."""
    start, names, found = time.perf_counter(), settings["metrics"], []
    for repeat in range(settings["repeats"]):
        key = jax.random.key(settings["seed"] + 1 + repeat)
        x, nfe = draw(key, cell, problem, settings["num_samples"], settings["batch_size"])
        found.append(distances(names, x, problem))
        if not np.isfinite(found).all():
            raise FloatingPointError("the samples are not finite")
        if repeat == 0:
            seconds, shown = time.perf_counter() - start, x
    row = {"cell": cell, "steps": sampler_of(cell)[1], "nfe": float(nfe.mean())}
    row["seconds"] = round(seconds, 2)  # of one repeat, with what it compiles
    for name, values in zip(names, np.transpose(found)):
        row[name], row[f"{name}_std"] = float(values.mean()), spread(values)
    return row, shown


def spread(values: Any) -> float:
    """The standard deviation of a few numbers; 0 of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def floors_of(names: list[str], problem: Problem) -> dict[str, presentation.Floor]:
    """What the metrics say of other true samples."""
    found = np.transpose([distances(names, other, problem) for other in problem.others])
    return {n: presentation.Floor(float(np.mean(v)), spread(v)) for n, v in zip(names, found)}


def distances(names: list[str], x: Any, problem: Problem) -> list[float]:
    """The metrics between samples and the reference; all cells are compared alike."""
    seen = features_of(x, problem) if any(map(is_measure, names)) else None
    return [
        metric_of(name)(seen, problem.seen)[measure_name(name)].value
        if is_measure(name)
        else float(metric_of(name)(jax.random.key(0), x, problem.reference))
        for name in names
    ]


def is_measure(name: str) -> bool:
    """Whether a metric is of features."""
    return measure_name(name) in quality.MEASURES


def measure_name(name: str) -> str:
    """The name among the measures, of which a FID is one."""
    return "fd" if name == "fid" else name


def metric_of(name: str) -> Any:
    """The metric called `name`, of either family."""
    if not is_measure(name):
        return make("metric", metrics.METRICS, name)
    # The repeats say what the error is.
    name = measure_name(name)
    return make("metric", quality.MEASURES, name, **({"bootstrap": 0} if name == "fd" else {}))


def features_of(x: Any, problem: Problem) -> quality.FeatureSet:
    """The features of the images that samples are."""
    images = np.asarray(problem.codec.decode(x))
    return quality.extract(
        lambda rows: images[rows],
        len(images),
        problem.extractor,
        name="the samples",
        mesh=training.make_mesh(),
        bins=problem.codec.bins,
    )


def write_results(workdir: pathlib.Path, rows: list[dict], names: list[str], floors: dict) -> None:
    """The CSV, the table and the figure of the finished cells."""
    options = sorted({key for row in rows for key in row["cell"]} - {"name", "steps", "nfe"})
    values = ["steps", "nfe", "seconds", *(key for name in names for key in (name, f"{name}_std"))]
    sweeps.write_csv(workdir / "results.csv", rows, ["name", *options], values)
    presentation.write_table(workdir / "results.md", rows, names, floors)
    presentation.write_figure(workdir / "results.png", rows, names, floors)


def sweep(settings: dict[str, Any], workdir: pathlib.Path) -> int:
    """Runs every cell of the config that has not been run, then writes the results.

    Returns 0 if every cell succeeded, else 1.
    """
    kinds = {"mixture": mixture_problem, "trained": trained_problem}
    settings = {"repeats": 1, **settings}
    options = dict(settings["problem"])
    make_problem = member("problem", kinds, options.pop("name"))
    cells = sweeps.expand(settings["sweep"])
    for cell in cells:  # a misspelled cell should not wait for its turn
        sampler_of(cell)
    names = list(settings["metrics"])
    for name in names:
        metric_of(name)
        if is_measure(name) and settings["problem"]["name"] != "trained":
            raise UsageError(f"The metric {name!r} is of images: take a trained run.")
    common = ("problem", "num_samples", "repeats", "seed", "metrics")
    sweeps.check_common(workdir, {key: settings[key] for key in common})

    problem = make_problem(options, settings["num_samples"], settings["seed"])
    if any(map(is_measure, names)):
        problem = with_features(problem, options, names)
    floors = floors_of(names, problem)

    def measure(cell, file):
        row, x = run_cell(cell, problem, settings)
        if problem.codec is not None:
            images = np.asarray(problem.codec.decode(x[:64]))
            path = workdir / "images" / f"{file.stem}.png"
            with jobs.picture(path):
                pictures.save_grid(path, images, bins=problem.codec.bins)
        return row

    def words(row):
        values = ", ".join(f"{name} {presentation.number(row, name)}" for name in names)
        return f"NFE {row['nfe']:.0f}, {values}, {row['seconds']:.1f} s"

    def label(cell):
        return f"{presentation.describe(cell)}, steps {sampler_of(cell)[1] or 'of its own'}"

    rows, failed = sweeps.run_cells(workdir, cells, measure, label, words)
    if rows:
        write_results(workdir, rows, names, floors)
    return sweeps.report(workdir, rows, cells, failed)


if __name__ == "__main__":
    sys.exit(sweeps.command("ablate_samplers", __doc__, sweep))
