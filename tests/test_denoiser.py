"""What differs from sample to sample travels in the condition, and is never mixed up."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, likelihood, samplers, sdes
from scoresde.condition import check_condition
from scoresde.denoiser import BaseDenoiser, Denoiser, WrappedDenoiser, predict
from scoresde.predictions import Index, Noise, Prediction
from scoresde.registry import UsageError

Y = jnp.arange(4.0)[:, None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pulled(WrappedDenoiser):
    """x0 of a standard normal, pulled toward y by a tenth: y of the condition, or its own."""

    denoiser: BaseDenoiser
    y: Any = None

    def __call__(self, x, t, condition=None):
        y = condition["y"] if self.y is None else self.y
        prediction = self.denoiser(x, t)
        return Prediction(prediction.x0 + 0.1 * (y - prediction.x0), prediction.noise)


@pytest.fixture(scope="module")
def standard_normal():
    return analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(sdes.VP())


def test_log_prob_gives_each_sample_its_own_condition(standard_normal, key):
    """The numbers that each sample has alone."""
    x = jnp.zeros((4, 2))
    options = {"trace": "exact", "rtol": 1e-6, "atol": 1e-6}
    result = likelihood.log_prob(key, Pulled(standard_normal), x, condition={"y": Y}, **options)
    np.testing.assert_allclose(result.nats, [-1.7379, -1.7481, -1.7787, -1.8298], atol=2e-4)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Pushed(WrappedDenoiser):
    """Pushed along the flow by what it holds itself, in a velocity of its own."""

    denoiser: BaseDenoiser
    y: Any

    def __call__(self, x, t, condition=None):
        return self.denoiser(x, t)

    def velocity(self, x, t, condition=None):
        return self.denoiser.velocity(x, t) + 0.1 * self.y


@pytest.mark.parametrize("kind", [Pulled, Pushed])
@pytest.mark.parametrize(
    "solve",
    [
        lambda key, denoiser, x: likelihood.log_prob(key, denoiser, x, trace="exact"),
        lambda key, denoiser, x: samplers.encode(denoiser, x),
        lambda key, denoiser, x: samplers.sample(
            key, samplers.get("probability_flow"), denoiser, x_init=x
        ),
    ],
    ids=["log_prob", "encode", "probability_flow"],
)
def test_a_denoiser_that_holds_the_data_of_several_samples_is_refused(
    solve, kind, standard_normal, key
):
    with pytest.raises(UsageError, match=r"of shape \(4, 2\) for x of shape \(1, 2\).*condition"):
        solve(key, kind(standard_normal, y=Y), jnp.zeros((4, 2)))


def test_a_wrapped_denoiser_has_the_process_the_levels_and_the_density_of_the_one_within():
    discrete = Noise(time_input=Index(num_scales=10))
    within = Denoiser(sdes.VP(), discrete, lambda params, x, t, condition: x, None)
    wrapped = Pulled(within).given({"y": Y})
    assert wrapped.sde is within.sde and wrapped.trained_levels == 10
    exact = analytic.gaussian(np.ones(1), 4 * np.eye(1)).denoiser(sdes.VP())
    z = jnp.array([[0.3]])
    assert Pulled(exact).given(None).terminal_log_prob(z) == exact.terminal_log_prob(z)


def test_a_discretely_trained_network_is_refused_where_any_time_is_needed(key):
    within = Denoiser(sdes.VP(), Noise(time_input=Index(num_scales=10)), jnp.add, None)
    denoiser, x = Pulled(within), jnp.zeros((4, 1))
    for of in (likelihood.ExactLikelihood(), likelihood.ScoreFlowBound()):
        with pytest.raises(UsageError, match="10 discrete levels"):
            of(key, denoiser, x, {"y": Y})
    levels = jnp.zeros((4, 1), jnp.int32)
    with pytest.raises(UsageError, match="at most 9 steps"):
        likelihood.DDPMBound(steps=10)(key, denoiser, levels, {"y": Y})


def test_a_condition_fixed_is_a_condition_given(standard_normal):
    x, condition = jnp.ones((4, 2)), {"y": Y}
    denoiser = Pulled(standard_normal)
    given = denoiser.given(condition)
    for method in ("score", "velocity"):
        expected = getattr(denoiser, method)(x, 0.5, condition)
        np.testing.assert_array_equal(getattr(given, method)(x, 0.5), expected)
    np.testing.assert_array_equal(given(x, 0.5).x0, predict(denoiser, x, 0.5, condition).x0)


@pytest.mark.parametrize(
    "condition, message",
    [
        (jnp.zeros(4), "maps names to arrays"),
        ({"y": jnp.zeros(3)}, r"'y' of 4 samples needs arrays \[4, ...\]"),
        ({"text": {"mask": jnp.zeros((4, 2)), "length": 7}}, "'text' of 4 samples"),
    ],
)
def test_a_condition_without_a_row_for_each_sample_is_refused(condition, message):
    with pytest.raises(UsageError, match=message):
        check_condition(condition, 4)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OtherPrior(WrappedDenoiser):
    """Holds a number for each sample of a batch, where it may not."""

    denoiser: Any
    extra: Any

    def __call__(self, x, t, condition=None):
        return self.denoiser(x, t, condition)

    def terminal_log_prob(self, z, condition=None):
        return self.denoiser.terminal_log_prob(z, condition) + self.extra


@pytest.mark.parametrize("batch, extra", [(1, jnp.arange(4.0)), (4, jnp.arange(4.0))])
def test_a_density_at_the_end_that_mixes_samples_is_refused(batch, extra, standard_normal, key):
    denoiser = OtherPrior(standard_normal, extra)
    with pytest.raises(UsageError, match="terminal_log_prob of one sample"):
        likelihood.log_prob(key, denoiser, jnp.zeros((batch, 2)))
