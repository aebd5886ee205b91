"""Posterior samplers against the exact posterior: which is biased, and by how much.

Example:
  python experiments/guidance_study.py --config experiments/configs/posteriors.py --workdir runs/p

Installed with pip, it is `python -m scoresde.experiments.guidance_study --config posteriors`;
`posteriors:quick` takes seconds.

A cell is a `method` with its options, on a set of `data` (Gaussian mixtures with a linear
observation y, of which all is known) with a `process`, a `sampler` and a number of `steps`; `noise`
takes the place of the data's own. A method is "exact", the score of the posterior itself; a name
of `guidance.POSTERIORS`, or `package.module:Name` of one's own; "replacement"; or "repaint", whose
options are the sampler's. All cells have the same noise. Writes to the work directory:

  cells/*.json    a finished cell each, with what it measured and what is true; they are kept
  results.csv     a row per cell: the distances from the posterior
  results.md      a table per posterior
  results.png     sliced Wasserstein distances by method, with the noise floor
"""

import pathlib
import sys
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from scoresde import analytic, guidance, metrics, observations, samplers, sdes
from scoresde.experiments import cells as sweeps
from scoresde.experiments import study_results as presentation
from scoresde.registry import UsageError, make, member

# Of a cell, what is not an option of its method.
_RUN = ("data", "process", "sampler", "steps", "noise", "method")

# Sets of exact samples whose distances are the noise floor.
_FLOORS = 5


class Problem(NamedTuple):
    """Data, what is observed of them, and what is true then.

    Attributes:
        prior: the data.
        observation: how y comes of them.
        y: what is observed, [m].
        posterior: the data given y.
    """

    prior: analytic.GaussianMixture
    observation: observations.Matrix
    y: np.ndarray
    posterior: analytic.GaussianMixture


def problem_of(cell: dict[str, Any], data: dict[str, Any]) -> Problem:
    """The problem of a cell, out of the named ones."""
    options = dict(member("data", data, cell["data"]))
    matrix, y = np.array(options.pop("matrix")), np.array(options.pop("observation"))
    noise = np.broadcast_to(np.array(cell.get("noise", options.pop("noise"))), y.shape)
    prior = analytic.GaussianMixture(*(options[k] for k in ("weights", "means", "covariances")))
    observation = observations.Matrix(matrix=matrix, noise=noise)
    return Problem(prior, observation, y, prior.given(matrix, noise, y))


def parse_cell(cell: dict[str, Any], problem: Problem) -> tuple[Any, Any, Any]:
    """The sampler of a cell, its guided denoiser and its constraint.

    Raises:
        UsageError: an unknown name or option, or what a method refuses.
    """
    options = {key: value for key, value in cell.items() if key not in _RUN}
    sde = make("SDE", sdes.SDES, cell["process"])
    prior, method, observation = problem.prior.denoiser(sde), cell["method"], problem.observation
    if method == "repaint":
        sampler = samplers.get("repaint", predictor=cell["sampler"], **options)
    else:
        sampler = samplers.get(cell["sampler"])
    if method in ("replacement", "repaint"):
        constraint = guidance.Replacement(sde, observation)
        return sampler, guidance.Projected(prior, observation), constraint
    if method == "exact":
        return sampler, problem.posterior.denoiser(sde), None
    if options.get("norm") == "published":  # its step is of a sampler with so many
        options["steps"] = cell["steps"]
    kinds = guidance.POSTERIORS
    made = {"denoiser": prior, "observation": observation, **options}
    return sampler, make("guidance method", kinds, method, **made), None


def draw(cell: dict[str, Any], problem: Problem, num: int, seed: int) -> tuple[np.ndarray, int]:
    """`num` samples of a cell, and the evaluations that each took."""
    sampler, guided, constraint = parse_cell(cell, problem)
    y = np.broadcast_to(problem.y, (num, problem.y.size))
    told = cell["method"] != "exact"
    drawn = samplers.sample(
        jax.random.key(seed + 1),
        sampler,
        guided,
        (num, *problem.prior.event_shape),
        steps=cell["steps"],
        condition={"observation": y} if told else None,
        constraint=constraint,
    )
    return np.asarray(drawn.x), int(drawn.nfe[0])


def moments(x: np.ndarray, problem: Problem) -> dict[str, np.ndarray]:
    """Mean, covariance and the shares of the components of samples, with standard errors.

    Given x0, y says nothing of the component it is of: the shares are means of what the prior's
    components are responsible for, which is defined everywhere.
    """
    rows = x.reshape(len(x), -1).astype(np.float64)
    offset = rows - rows.mean(axis=0)
    values = {
        "mean": rows,
        "covariance": offset[:, :, None] * offset[:, None, :],
        "weights": np.asarray(problem.prior.responsibilities(x), np.float64),
    }
    found = {name: value.mean(axis=0) for name, value in values.items()}
    errors = {f"{n}_se": value.std(axis=0) / len(x) ** 0.5 for n, value in values.items()}
    return found | errors


def truth_of(problem: Problem) -> dict[str, np.ndarray]:
    """What `moments` estimates, of the posterior."""
    posterior = problem.posterior
    weights = np.exp(posterior.log_weights)
    return {"mean": posterior.mean, "covariance": posterior.covariance, "weights": weights}


def distances(x: np.ndarray, problem: Problem, reference: np.ndarray) -> dict[str, float]:
    """How far samples are from the posterior, of which `reference` are as many."""
    found, truth = moments(x, problem), truth_of(problem)
    gaps = {name: np.asarray(found[name] - truth[name]) for name in truth}
    sliced = metrics.SlicedWasserstein()(jax.random.key(0), x, reference)
    return {
        "sliced_wasserstein": float(sliced),
        "mean_error": float(np.linalg.norm(gaps["mean"])),
        "covariance_error": float(np.linalg.norm(gaps["covariance"])),
        "weights_error": float(np.abs(gaps["weights"]).sum() / 2),
    }


def run_cell(cell: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Samples and measures one cell. Returns its row."""
    start, num = time.perf_counter(), settings["num_samples"]
    problem = problem_of(cell, settings["data"])
    x, nfe = draw(cell, problem, num, settings["seed"])
    if not np.isfinite(x).all():
        raise FloatingPointError("the samples are not finite")
    keys = jax.random.split(jax.random.key(settings["seed"]), 1 + _FLOORS)
    reference, *others = (problem.posterior.sample(key, num) for key in keys)
    floors = [distances(np.asarray(other), problem, reference) for other in others]
    plain = {name: np.asarray(value).tolist() for name, value in moments(x, problem).items()}
    truth = {name: np.asarray(value).tolist() for name, value in truth_of(problem).items()}
    return {
        "cell": cell,
        "noise": np.asarray(problem.observation.noise).tolist(),
        "nfe": nfe,
        "seconds": round(time.perf_counter() - start, 2),  # with what it compiles
        **distances(x, problem, reference),
        **{f"{n}_floor": float(np.mean([floor[n] for floor in floors])) for n in floors[0]},
        "measured": plain,
        "truth": truth,
    }


def sweep(settings: dict[str, Any], workdir: pathlib.Path) -> int:
    """Runs every cell of the config that has not been run, then writes the results.

    Returns 0 if every cell succeeded, else 1.
    """
    cells = sweeps.expand(settings["sweep"])
    for cell in cells:  # a misspelled cell should not wait for its turn
        missing = [key for key in _RUN if key not in cell and key != "noise"]
        if missing:
            raise UsageError(f"A cell of this study needs {', '.join(missing)}.")
        parse_cell(cell, problem_of(cell, settings["data"]))
    sweeps.check_common(workdir, {key: settings[key] for key in ("data", "num_samples", "seed")})

    def words(row):
        return (
            f"sliced Wasserstein {row['sliced_wasserstein']:.4f} "
            f"(floor {row['sliced_wasserstein_floor']:.4f}), NFE {row['nfe']}, "
            f"{row['seconds']:.1f} s"
        )

    rows, failed = sweeps.run_cells(
        workdir, cells, lambda cell, file: run_cell(cell, settings), presentation.describe, words
    )
    if rows:
        options = list(dict.fromkeys(key for row in rows for key in row["cell"]))
        values = [key for key, value in rows[0].items() if isinstance(value, float | int)]
        sweeps.write_csv(workdir / "results.csv", rows, options, values)
        presentation.write_table(workdir / "results.md", rows)
        presentation.write_figure(workdir / "results.png", rows)
    return sweeps.report(workdir, rows, cells, failed)


if __name__ == "__main__":
    sys.exit(sweeps.command("guidance_study", __doc__, sweep))
