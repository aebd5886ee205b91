"""The average whose memory is a share of the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import registry, training
from scoresde.registry import UsageError
from scoresde.training import PowerEMA

from .test_power_profile import golden  # noqa: F401


@pytest.mark.parametrize("length", [0.05, 0.1])
def test_it_follows_the_golden_run(golden, length):  # noqa: F811
    average, state = PowerEMA(length=length), jnp.float32(99.0)  # the initial value is forgotten
    update, followed = jax.jit(average.update), {}
    for n, theta in enumerate(golden["run/theta"], start=1):
        state = update(state, jnp.float32(theta), n)
        followed[n] = float(state)
    mine = golden["run/snapshot_std"] == length
    found = [followed[step] for step in golden["run/snapshot_step"][mine]]
    np.testing.assert_allclose(found, golden["run/snapshot"][mine], rtol=0, atol=3e-6)


def test_it_keeps_its_digits_in_long_runs():
    newest = PowerEMA(length=0.1).newest_weight(1_000_000)
    assert float(newest) == pytest.approx(7.937e-6, rel=1e-3)
    assert PowerEMA(length=0.1).exponent == pytest.approx(6.937, abs=1e-3)


def test_it_is_an_average_by_name():
    average = registry.make("average", training.AVERAGES, "power", length=0.05)
    assert average == PowerEMA(length=0.05) and hash(average) == hash(PowerEMA(length=0.05))
    with pytest.raises(UsageError, match=r"lies above 0 and up to 0.2886"):
        PowerEMA(length=0.3)
    with pytest.raises(UsageError, match="needs the option 'length'"):
        registry.make("average", training.AVERAGES, "power")
