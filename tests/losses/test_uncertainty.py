"""The loss with a learned variance, against its formula and its minimum."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import losses, networks, predictions, sdes
from scoresde.registry import UsageError

SDE = sdes.EDM()
KIND = predictions.get("edm")
X0 = jax.random.normal(jax.random.key(3), (6, 4, 4, 1))
KEY = jax.random.key(7)


@dataclasses.dataclass(frozen=True)
class Linear:
    """F = slope x, and u linear in the noise condition; a network of one's own."""

    def __call__(self, params, x, noise_condition, condition=None, *, train=False, rng=None):
        return params["slope"] * x

    def log_variance(self, params, noise_condition):
        return params["at_zero"] + params["rise"] * noise_condition


PARAMS = {"slope": jnp.float32(0.7), "at_zero": jnp.float32(0.4), "rise": jnp.float32(-1.3)}
OPTIONS = {"sde": SDE, "prediction": KIND, "times": {"name": "log_normal"}, "weighting": "edm"}


def losses_of(params=PARAMS, x0=X0):
    """The loss of each sample, that of score matching, and u."""
    ours = losses.UncertaintyLoss(network=Linear(), **OPTIONS)
    plain = losses.DenoisingScoreMatching(network=Linear(), **OPTIONS)
    (value, t), (error, _) = (loss.per_sample(params, KEY, x0) for loss in (ours, plain))
    return value, error, params["at_zero"] + params["rise"] * jnp.log(t) / 4


def test_it_is_the_weighted_error_over_the_variance_and_its_logarithm():
    value, error, u = losses_of()
    np.testing.assert_allclose(value, error / np.exp(u) + u, rtol=1e-5)
    assert np.ptp(u) > 0.1  # of every sample its own


def test_its_minimum_is_the_logarithm_of_the_error():
    _, error, _ = losses_of()

    def mean(at_zero):
        value, _, _ = losses_of({**PARAMS, "rise": jnp.float32(0.0), "at_zero": at_zero})
        return jnp.mean(value)

    best = jnp.log(jnp.mean(error))
    assert abs(jax.grad(mean)(best)) < 1e-5
    assert mean(best) < min(mean(best - 0.1), mean(best + 0.1))


def test_it_is_an_objective_by_name():
    assert losses.OBJECTIVES["uncertainty"] is losses.UncertaintyLoss


def test_networks_without_a_head_are_refused():
    for network in (
        networks.get("ncsnpp", nf=8, ch_mult=(1,), num_res_blocks=1),
        lambda params, x, noise_condition, condition, *, train, rng: x,
    ):
        with pytest.raises(UsageError, match="says how uncertain it is, by log_variance"):
            losses.UncertaintyLoss(network=network, **OPTIONS)


def test_a_variance_for_the_whole_batch_is_refused():
    class OneForAll(Linear):
        def log_variance(self, params, noise_condition):
            return jnp.zeros((1,))

    loss = losses.UncertaintyLoss(network=OneForAll(), **OPTIONS)
    with pytest.raises(UsageError, match="log variance of a loss must give a number a sample"):
        loss(PARAMS, KEY, X0)
