"""The study of posterior samplers at its quick size: the exact one is near, results are kept."""

import csv
import json

import guidance_study
import numpy as np
import pytest
from PIL import Image

from scoresde.experiment import load_config
from scoresde.experiments.cells import SWEEPS
from scoresde.registry import UsageError


def settings(**changes):
    return load_config("posteriors:quick", published=SWEEPS).to_dict() | changes


def test_the_quick_study_measures_each_cell_beside_the_truth_and_keeps_it(tmp_path, capsys):
    assert guidance_study.sweep(settings(), tmp_path) == 0
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["method"] for row in rows] == ["exact", "tmpd", "repaint"]
    assert [row["nfe"] for row in rows] == ["21", "21", "21"]
    exact, tmpd, repaint = (
        json.loads(path.read_text())
        for method in ("exact", "tmpd", "repaint")
        for path in (tmp_path / "cells").glob(f"*-{method}-*")
    )
    # Of Gaussian data TMPD is exact, and all cells have the same noise.
    for row in (exact, tmpd):
        np.testing.assert_allclose(row["truth"]["mean"], [1.1422, 0.0853], atol=1e-4)
        np.testing.assert_allclose(row["truth"]["covariance"][0], [0.0826, 0.0495], atol=1e-4)
        assert row["sliced_wasserstein"] < 0.2 and row["mean_error"] < 0.15
    np.testing.assert_allclose(tmpd["measured"]["mean"], exact["measured"]["mean"], atol=1e-3)
    assert repaint["noise"] == [0.1] and repaint["weights_error"] > 0.05
    table = (tmp_path / "results.md").read_text()
    assert "### a_noiseless, noise 0.1" in table and table.count("| **posterior** |") == 2
    assert Image.open(tmp_path / "results.png").size[0] > 500
    capsys.readouterr()
    assert guidance_study.sweep(settings(), tmp_path) == 0
    assert "NFE" not in capsys.readouterr().out  # nothing was run again


CELL = {"data": "a", "process": "vp", "method": "dps", "sampler": "ddim", "steps": 2}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data": "c"}, "Unknown data"),
        ({"process": "vpp"}, "Unknown SDE"),
        ({"method": "dsp"}, "Did you mean 'dps'"),
        ({"norm": "plain"}, "Unknown norm of DPS"),
        ({"data": "a_noiseless"}, "DPS divides by the noise"),
        ({"rounds": 2}, "no option 'rounds'"),
    ],
)
def test_mistakes_are_found_before_any_cell_runs(changes, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        guidance_study.sweep(settings(sweep=[CELL | changes]), tmp_path)
    assert not (tmp_path / "cells").exists()


def test_a_cell_that_lacks_something_says_what(tmp_path):
    with pytest.raises(UsageError, match="needs process, sampler, steps"):
        guidance_study.sweep(settings(sweep=[{"data": "a", "method": "exact"}]), tmp_path)
