"""Times on the levels of a chain, and what is remembered of the losses there."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import sdes, times
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "golden" / "second_moment_resampler.npz"
CHAIN = sdes.DiscreteVP(num_scales=8, beta_max=4.0)


def test_levels_are_those_of_the_chain_unless_it_is_said():
    np.testing.assert_allclose(times.Discrete(sde=CHAIN).levels, np.arange(8) / 7, rtol=1e-6)
    assert len(times.Discrete(sde=sdes.VP()).levels) == 1000
    levels = times.Discrete(sde=sdes.EDM(), num_scales=5).levels
    np.testing.assert_allclose(levels, np.linspace(0.002, 80, 5), rtol=1e-6)


@pytest.mark.parametrize("sde", [CHAIN, sdes.DiscreteCosine(num_scales=4000), sdes.EDM()])
def test_a_time_knows_its_level(sde, key):
    """In single precision too, and whatever the rounding of a time."""
    distribution = times.Discrete(sde=sde)
    levels = distribution.levels
    number = np.arange(len(levels))
    for t in (levels, levels * (1 + 1e-7), levels * (1 - 1e-7)):
        np.testing.assert_array_equal(distribution.number(t), number)
    t, _ = distribution(key, 64)
    np.testing.assert_array_equal(levels[distribution.number(t)], t)


@pytest.mark.parametrize("batch", [1, 7, 40])
def test_the_history_and_its_weights_are_improved_diffusions(batch):
    """Also where one batch has more losses of a level than are remembered."""
    golden = np.load(GOLDEN)
    with jax.enable_x64(True):
        distribution = times.LossSecondMoment(sde=CHAIN)
        level, losses = golden["timesteps"], golden["losses"]
        memory, remember = distribution.init_memory(), jax.jit(distribution.remember)
        done = 0
        for mark in (0, 8, 79, 80, 95, 110):
            while done < mark:
                some = slice(done, min(done + batch, mark))
                t = distribution.levels[level[some]]
                memory = remember(memory, t, jnp.asarray(losses[some]))
                done = some.stop
            p = distribution.probabilities(memory)
            np.testing.assert_allclose(p, golden[f"after_{mark}/p"], rtol=1e-12)
            expected = golden[f"after_{mark}/importance"]
            np.testing.assert_allclose(1 / (8 * p), expected, rtol=1e-12)
            seen = np.minimum(memory["count"], 10)
            np.testing.assert_array_equal(seen, golden[f"after_{mark}/counts"])
        # Ours is a ring, whose oldest loss is at the count.
        for row, count in enumerate(np.asarray(memory["count"])):
            history = np.roll(memory["losses"][row], -count % 10)
            np.testing.assert_array_equal(history, golden["after_110/history"][row])


def test_of_a_batch_the_latest_losses_of_a_level_are_remembered():
    distribution = times.LossSecondMoment(sde=CHAIN, history=3)
    t = distribution.levels[jnp.array([2, 2, 5, 2, 2, 2])]
    memory = distribution.remember(distribution.init_memory(), t, jnp.arange(1.0, 7.0))
    assert sorted(memory["losses"][2].tolist()) == [4, 5, 6]
    assert memory["losses"][5].tolist() == [3, 0, 0]
    assert memory["count"].tolist() == [0, 0, 5, 0, 0, 1, 0, 0]


def test_draws_follow_the_losses_and_their_weights_make_up_for_it(key):
    distribution = times.LossSecondMoment(sde=CHAIN, history=1, uniform=0.2)
    loss = jnp.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.3, 0.2, 0.0])
    memory = distribution.remember(distribution.init_memory(), distribution.levels, loss)
    t, weight = jax.jit(lambda key, memory: distribution(key, 40_000, memory))(key, memory)
    number = np.asarray(distribution.number(t))
    p = 0.8 * loss / loss.sum() + 0.2 / 8
    share = np.bincount(number, minlength=8) / len(number)
    np.testing.assert_allclose(share, p, atol=4 * np.sqrt(0.25 / len(number)))
    for h in (np.ones(8), loss, loss**2 + 1):
        values = np.asarray(weight) * np.asarray(h)[number]
        assert abs(values.mean() - h.mean()) < 4 * values.std() / np.sqrt(len(values))


def test_they_are_uniform_before_all_is_known_and_where_nothing_is_remembered(key):
    distribution = times.LossSecondMoment(sde=CHAIN, history=2)
    almost = jnp.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7])
    memory = distribution.init_memory()
    memory = distribution.remember(memory, distribution.levels[almost], 1.0 + almost)
    np.testing.assert_allclose(distribution.probabilities(memory), 1 / 8, rtol=1e-6)
    memory = distribution.remember(memory, jnp.ones(1), jnp.ones(1))
    assert np.ptp(distribution.probabilities(memory)) > 0.1
    t, weight = distribution(key, 5)
    np.testing.assert_array_equal(t, times.Discrete(sde=CHAIN)(key, 5)[0])
    assert (weight == 1).all()


def test_a_level_without_a_loss_stops_nothing(key):
    """All losses zero, as of a perfect network: uniform, not 0 / 0."""
    distribution = times.LossSecondMoment(sde=CHAIN, history=1)
    memory = distribution.remember(distribution.init_memory(), distribution.levels, jnp.zeros(8))
    np.testing.assert_allclose(distribution.probabilities(memory), 1 / 8, rtol=1e-6)


@pytest.mark.parametrize("options", [{"history": 0}, {"uniform": 1.5}, {"num_scales": 1}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(UsageError):
        times.LossSecondMoment(sde=CHAIN, **options)
