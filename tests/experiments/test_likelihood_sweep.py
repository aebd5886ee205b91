"""The sweep of likelihoods on a small mixture, and on a model of images."""

import csv

import likelihood_sweep
import pytest
from PIL import Image
from tiny_model import make_run

from scoresde.registry import UsageError


def settings(**changes):
    return {
        "problem": {
            "name": "mixture",
            "weights": (1.0,),
            "means": ((0.5, 0.0),),
            "covariances": (((0.2, 0.05), (0.05, 0.1)),),
            "sde": {"name": "vp"},
        },
        "num_images": 48,
        "batch_size": 32,
        "passes": 1,
        "seed": 0,
        "sweep": [
            {"trace": "exact", "tolerance": (1e-1, 1e-3)},
            {"probes": 4, "tolerance": 1e-3},
        ],
        **changes,
    }


def read(workdir):
    with (workdir / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_errors_against_the_exact_density_and_kept_cells(tmp_path, capsys):
    assert likelihood_sweep.sweep(settings(), tmp_path) == 0
    loose, tight, probes = rows = read(tmp_path)
    errors = [float(row["rms"]) for row in rows]
    assert errors[1] < 2e-3 < errors[0]
    assert probes["probes"] == "4" and tight["probes"] == ""
    assert float(tight["standard_error_of_probes"]) == 0 < float(probes["standard_error_of_probes"])
    assert all(float(row["seconds_per_image"]) > 0 for row in rows)
    table = (tmp_path / "results.md").read_text()
    assert table.count("\n| exact") == 3 and "rms error" in table
    assert Image.open(tmp_path / "results.png").size[0] > 500

    kept = {path: path.read_bytes() for path in (tmp_path / "cells").iterdir()}
    capsys.readouterr()
    longer = settings()["sweep"] + [{"trace": "exact", "tolerance": 1e-2}]
    assert likelihood_sweep.sweep(settings(sweep=longer), tmp_path) == 0
    assert capsys.readouterr().out.count("NFE") == 1  # only the new cell was run
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert len(read(tmp_path)) == 4 and float(loose["nfe"]) < float(tight["nfe"])

    with pytest.raises(UsageError, match="another problem"):
        likelihood_sweep.sweep(settings(seed=1), tmp_path)


def test_a_trained_model(tmp_path):
    make_run(tmp_path / "run")
    problem = {"name": "trained", "workdir": str(tmp_path / "run")}
    sweep = [
        {"bound": "score_flow", "samples": 64, "repeats": 2, "t_min": 1e-3},
        {
            **{"bound": "score_flow", "samples": 64, "repeats": 2, "t_min": 1e-3},
            **{"dequantizer": "truncated_normal", "dequantizer_std": 0.3},
        },
    ]
    assert likelihood_sweep.sweep(settings(problem=problem, sweep=sweep), tmp_path / "out") == 0
    uniform, truncated = rows = read(tmp_path / "out")
    assert [row["nfe"] for row in rows] == ["130.0", "130.0"]
    assert truncated["dequantizer"] == "truncated_normal" and uniform["dequantizer"] == ""
    assert 0.5 < float(uniform["bits_per_dim"]) < 3
    assert uniform["bits_per_dim"] != truncated["bits_per_dim"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sweep": [{"bound": "elbo"}]}, "Unknown bound"),
        ({"sweep": [{"probs": 3}]}, "no option 'probs'"),
        ({"sweep": [{"dequantizer": "flow"}]}, "no option 'dequantizer'"),
        ({"problem": {"name": "images"}}, "Unknown problem"),
    ],
)
def test_mistakes_are_found_before_any_cell_runs(changes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        likelihood_sweep.sweep(settings(**changes), tmp_path)
    assert not (tmp_path / "cells").exists()
