"""The loss on data that nothing is trained on."""

import dataclasses

import numpy as np
import pytest

from scoresde import training
from scoresde.registry import UsageError

from . import toy


def test_it_evaluates_the_average_that_it_is_told(key):
    mesh = training.make_mesh()
    averages = {"ema": toy.make_params(seed=1), "slow": toy.make_params(seed=2)}
    state = dataclasses.replace(toy.make_state(), averages=averages)
    batch = {"image": next(toy.ToyLoader())["image"][0]}
    losses = []
    for options, params in (
        ({}, averages["ema"]),
        ({"average": "slow"}, averages["slow"]),
        ({"average": None}, state.params),
    ):
        metrics = training.make_eval_step(toy.loss_fn, mesh, **options)(state, key, batch)
        assert metrics.keys() == {"loss", "worst"}
        np.testing.assert_allclose(metrics["loss"], toy.loss_fn(params, key, batch)[0], rtol=1e-5)
        losses.append(float(metrics["loss"]))
    assert len(set(losses)) == 3
    with pytest.raises(UsageError, match=r"no average 'fast'; there are ema, slow, and None is"):
        training.make_eval_step(toy.loss_fn, mesh, average="fast")(state, key, batch)
