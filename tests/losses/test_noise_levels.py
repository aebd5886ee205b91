"""Losses by the level of the noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import losses, predictions, sdes
from scoresde.losses.timed import TimedLoss

X0 = jax.random.normal(jax.random.key(3), (64, 2, 2, 1))


def network(params, x, noise_condition, condition=None, *, train=False, rng=None):
    return params * x


def made(kind=losses.DenoisingScoreMatching, **options):
    return kind(sde=sdes.VP(), prediction=predictions.get("noise"), network=network, **options)


@pytest.mark.parametrize("sde", [sdes.VP(), sdes.VE(), sdes.RectifiedFlow()])
def test_levels_are_parts_of_the_log_snr_from_least_to_most_noise(sde):
    t = jnp.linspace(sde.t_min, sde.t_max, 301)[1:-1]
    log_snr, level = np.asarray(sde.log_snr(t)), np.asarray(losses.level_of(sde, t))
    assert (np.diff(level) >= 0).all() and level.min() >= 0 and level.max() <= 7
    for low, high, number in ((9, np.inf, 0), (0.01, 2.99, 3), (-2.99, -0.01, 4), (-99, -9.01, 7)):
        assert set(level[(log_snr > low) & (log_snr < high)]) <= {number}
    assert {3, 4} <= set(level)
    words = losses.level_words()
    assert len(words) == losses.LEVELS == 8
    assert (words[0], words[1], words[4], words[7]) == ("above 9", "6 .. 9", "-3 .. 0", "below -9")


def test_no_time_is_beyond_the_last_levels():
    sde = sdes.RectifiedFlow()
    ends = losses.level_of(sde, jnp.array([0.0, 1.0]))  # no noise, and nothing else
    assert ends.tolist() == [0, 7]


def test_what_is_observed_is_what_the_loss_is_made_of():
    loss, key = made(times="likelihood_importance"), jax.random.key(5)
    value, memory, each, t = loss.observed(0.7, key, X0)
    weighted, times = loss.per_sample(0.7, key, X0)
    assert memory is None and value == loss(0.7, key, X0) == jnp.mean(weighted)
    np.testing.assert_array_equal(t, times)
    _, weight = loss.times(jax.random.split(key, 3)[0], len(X0))
    np.testing.assert_allclose(each * weight, weighted, rtol=1e-6)
    assert np.ptp(weight) > 0.1  # or nothing would be told apart
    assert jax.grad(lambda params: loss.observed(params, key, X0)[2].sum())(0.7) == 0
    assert jax.grad(lambda params: loss.observed(params, key, X0)[0])(0.7) != 0


def test_what_is_observed_is_of_the_class_that_is_called():
    class Own(losses.DenoisingScoreMatching):
        def at(self, *arguments, **options):
            return 2 * super().at(*arguments, **options)

    class Called(losses.DenoisingScoreMatching):
        def __call__(self, *arguments, **options):
            return 2 * super().__call__(*arguments, **options)

    assert losses.observes(made()) and losses.observes(made(Own))
    assert not losses.observes(made(Called))  # it says nothing of its own loss
    assert not losses.observes(lambda *arguments, **options: 0.0)
    assert issubclass(losses.ClassificationLoss, TimedLoss)
