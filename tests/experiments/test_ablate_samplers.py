"""The ablation on a small mixture: results, kept cells, a failing cell, a changed problem."""

import csv
import importlib.util
import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from tiny_model import make_run, source

import scoresde
from scoresde import metrics, quality, samplers
from scoresde.experiment import Sampling
from scoresde.registry import UsageError

ROOT = pathlib.Path(__file__).parent.parent.parent
SPEC = importlib.util.spec_from_file_location("ablate", ROOT / "experiments/ablate_samplers.py")
ablate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ablate)


def settings(**changes):
    return {
        "problem": {
            "name": "mixture",
            "weights": (1.0,),
            "means": ((0.5, 0.0),),
            "covariances": (((0.2, 0.0), (0.0, 0.1)),),
            "sde": {"name": "vp"},
        },
        "num_samples": 256,
        "batch_size": 256,
        "repeats": 2,
        "seed": 0,
        "metrics": ("sliced_wasserstein", "energy_distance"),
        "sweep": [
            {"name": "euler_maruyama", "steps": (5, 50)},
            {"name": "ddim", "nfe": 6, "eta": (0.0, 1.0)},
        ],
        **changes,
    }


def test_a_sweep_leaves_its_table_and_figure_and_keeps_its_cells(tmp_path, capsys):
    assert ablate.sweep(settings(), tmp_path) == 0
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["euler_maruyama"] * 2 + ["ddim"] * 2
    assert [float(row["nfe"]) for row in rows] == [6, 51, 6, 6]
    assert [int(row["steps"]) for row in rows] == [5, 50, 5, 5]
    # More steps are better, and the table marks the best of each column.
    assert float(rows[1]["sliced_wasserstein"]) < float(rows[0]["sliced_wasserstein"])
    table = (tmp_path / "results.md").read_text()
    assert "| sampler \\ NFE | 6 | 51 |" in table and table.count("**") >= 8
    assert float(rows[0]["sliced_wasserstein_std"]) > 0  # over the repeats
    assert Image.open(tmp_path / "results.png").size[0] > 500

    kept = {path: path.read_bytes() for path in (tmp_path / "cells").iterdir()}
    capsys.readouterr()
    longer = settings()["sweep"] + [{"name": "heun", "steps": 5}]
    assert ablate.sweep(settings(sweep=longer), tmp_path) == 0
    output = capsys.readouterr().out
    assert "heun" in output and "ddim" not in output  # only the new cell was run
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert len(list((tmp_path / "cells").iterdir())) == 5


def test_images_are_measured_by_their_features(tmp_path):
    make_run(tmp_path / "run")
    problem = {"name": "trained", "workdir": str(tmp_path / "run")}
    problem["features"] = "tiny_model:Pixels"
    sweep = [{"name": "ddim", "steps": (2, 8)}]
    chosen = settings(problem=problem, num_samples=32, metrics=("fd", "recall"), sweep=sweep)
    assert ablate.sweep(chosen, tmp_path / "sweep") == 0
    with (tmp_path / "sweep/results.csv").open() as file:
        few, more = csv.DictReader(file)
    run = scoresde.load(tmp_path / "run")
    images = source().splits["train"].images
    reference = images[np.random.default_rng(0).permutation(len(images))][:32]
    expected = []
    for seed in (1, 2):  # of the repeats
        drawn = run.generate(32, seed=seed, sampling=Sampling(sampler=samplers.DDIM(), steps=8))
        pair = (quality.to_8_bits(x, 4).reshape(32, 4) / 255 for x in (drawn.images, reference))
        moments = [metrics.Statistics().update(x).result() for x in pair]
        expected.append(metrics.frechet(*moments[0], *moments[1]))
    assert float(more["fd"]) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(more["fd"]) < float(few["fd"]) and 0 < float(more["recall"]) <= 1
    with pytest.raises(UsageError, match="'fd' is of images: take a trained run"):
        ablate.sweep(settings(metrics=("fd",)), tmp_path / "none")


def test_features_are_extracted_once_a_set_and_only_where_a_metric_is_of_them(
    tmp_path, monkeypatch
):
    make_run(tmp_path / "run")
    problem = {"name": "trained", "workdir": str(tmp_path / "run")}
    common = {"num_samples": 16, "repeats": 1, "sweep": [{"name": "ddim", "steps": 2}]}
    # Of these data, the default features are Inception's, whose weights are not here.
    chosen = settings(problem=problem, metrics=("sliced_wasserstein",), **common)
    assert ablate.sweep(chosen, tmp_path / "no_features") == 0

    problem["features"] = "tiny_model:Pixels"
    sets = []
    extract = quality.extract
    monkeypatch.setattr(quality, "extract", lambda *a, **b: sets.append(1) or extract(*a, **b))
    chosen = settings(problem=problem, metrics=("fd", "kid", "precision"), **common)
    assert ablate.sweep(chosen, tmp_path / "sweep") == 0
    assert len(sets) == 1 + 5 + 1  # the reference, what gives the floor, and the cell
    with pytest.raises(UsageError, match="not of pixels: ask for fd"):
        ablate.sweep(settings(problem=problem, metrics=("fid",), **common), tmp_path / "fid")


def test_a_failing_cell_is_reported_and_does_not_end_the_sweep(tmp_path, capsys):
    sweep = [{"name": "euler", "steps": 0}, {"name": "euler", "steps": 3}]
    assert ablate.sweep(settings(sweep=sweep, batch_size=200), tmp_path) == 1
    assert "positive number of steps" in capsys.readouterr().out
    (cell,) = (tmp_path / "cells").iterdir()
    assert json.loads(cell.read_text())["cell"]["steps"] == 3


def test_cells_of_another_problem_are_not_mixed_in(tmp_path):
    sweep = [{"name": "euler", "steps": 3}]
    ablate.sweep(settings(sweep=sweep), tmp_path)
    with pytest.raises(ablate.UsageError, match="another problem"):
        ablate.sweep(settings(sweep=sweep, seed=1), tmp_path)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sweep": [{"name": "eulre", "steps": 3}]}, "Unknown sampler"),
        ({"sweep": [{"name": "euler", "stesp": 3}]}, "no option 'stesp'"),
        ({"sweep": [{"name": "heun", "nfe": 2}]}, "not enough for one step"),
        ({"sweep": [{"name": "euler", "nfe": 4, "steps": 3}]}, "nfe instead of steps"),
        ({"sweep": [{"name": "probability_flow", "nfe": 9}]}, "not if it is adaptive"),
        ({"metrics": ("fdd",)}, "Unknown metric"),
        ({"problem": {"name": "images"}}, "Unknown problem"),
    ],
)
def test_mistakes_are_found_before_any_cell_runs(changes, message, tmp_path):
    with pytest.raises(ablate.UsageError, match=message):
        ablate.sweep(settings(**changes), tmp_path)
    assert not (tmp_path / "cells").exists()


def rows_of(values, std=0.01):
    return [{"w": value, "w_std": std, "cell": {"name": str(value)}, "nfe": 5} for value in values]


@pytest.mark.parametrize(
    "values, floor, best",
    [
        ([0.30, 0.50, 0.305], (0.1, 0.01), [True, False, True]),  # within the errors of the best
        ([0.05, 0.09, 0.11, 0.2], (0.1, 0.01), [True, True, True, False]),  # all at the floor
        ([-0.01, 0.02, 0.2], (0.0, 0.02), [True, True, False]),  # an unbiased estimate
    ],
)
def test_all_that_equals_the_best_is_marked(values, floor, best):
    rows, floor = rows_of(values), ablate.presentation.Floor(*floor)
    assert [ablate.presentation.is_best(row, rows, "w", floor) for row in rows] == best


def test_negative_estimates_are_drawn_as_they_are(tmp_path):
    """On an axis that is linear around zero, within the floor."""
    rows = rows_of([-0.002, 0.3])
    floors = {"w": ablate.presentation.Floor(0.0, 0.005)}
    ablate.presentation.write_figure(tmp_path / "a.png", rows, ["w"], floors)
    ablate.presentation.write_table(tmp_path / "a.md", rows, ["w"], floors)
    assert "**-0.002 ± 0.01**" in (tmp_path / "a.md").read_text()
    assert Image.open(tmp_path / "a.png").size[0] > 500
