"""Noise levels between those of a chain, as SR3 and Palette are trained."""

import jax
import numpy as np
import pytest

from scoresde import sdes, times


@pytest.mark.parametrize("power", [1, 2])
def test_alpha_to_the_power_is_uniform_within_each_interval(key, power):
    chain = sdes.DiscreteVP(num_scales=50, beta_min=0.1, beta_max=20.0)
    draw = jax.jit(lambda key: times.BetweenLevels(sde=chain, power=power)(key, 40_000))
    t, weight = draw(key)
    assert (np.asarray(weight) == 1).all()
    levels = np.arange(50) / 49
    number = np.clip(np.searchsorted(levels, t, side="right") - 1, 0, 48)
    counts = np.bincount(number, minlength=49)
    assert abs(counts - 40_000 / 49).max() < 5 * np.sqrt(40_000 / 49)
    ends = np.asarray(chain.alpha(levels), np.float64) ** power
    value = np.asarray(chain.alpha(t), np.float64) ** power
    share = (value - ends[number]) / (ends[number + 1] - ends[number])
    assert share.min() > -0.01 and share.max() < 1.01
    assert abs(np.sort(share) - np.linspace(0, 1, len(share))).max() < 1.63 / np.sqrt(len(share))
