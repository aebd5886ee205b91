"""Guidance of runs."""

import jax
import pytest
import tiny_told

from scoresde.experiment import build
from scoresde.runs.guided import guided


@pytest.mark.parametrize("name", ["clip", "dynamic_thresholding"])
@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_the_range_that_is_kept_is_that_of_the_runs_data(name, data_range):
    config = tiny_told.config("Mean")
    config["data"]["data_range"] = data_range
    experiment = build(config)
    denoiser = experiment.denoiser(experiment.init(jax.random.key(0)))
    within, _ = guided(denoiser, {"name": name}, {}, experiment)
    assert (within.low, within.high) == data_range
    given, _ = guided(denoiser, {"name": name, "low": -2.0, "high": 3.0}, {}, experiment)
    assert (given.low, given.high) == (-2.0, 3.0)
