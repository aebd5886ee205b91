"""The moving average of the parameters."""

import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.registry import UsageError
from scoresde.training import ema


def test_rates():
    assert float(ema.ema_rate(1, 0.999)) == pytest.approx(0.999)
    rates = [float(ema.ema_rate(n, 0.999, "inverse")) for n in (1, 2, 90, 8990, 10**6)]
    assert rates == pytest.approx([2 / 11, 3 / 12, 0.91, 8991 / 9000, 0.999])


@pytest.mark.parametrize("warmup", ["none", "inverse"])
def test_update_follows_the_recursion(warmup):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 3))
    average, want = {"w": jnp.zeros(3)}, np.zeros(3)
    for n, value in enumerate(values, start=1):
        rate = min(0.9, (1 + n) / (10 + n)) if warmup == "inverse" else 0.9
        want = rate * want + (1 - rate) * value
        average = ema.update(average, {"w": jnp.asarray(value, jnp.float32)}, n, 0.9, warmup)
    np.testing.assert_allclose(average["w"], want, atol=1e-6)


def test_a_rate_close_to_one_keeps_its_digits():
    """In float32, 1 - 0.999999 taken after rounding would be 5 % off."""
    average = ema.update(jnp.zeros(()), jnp.ones(()), 1, 0.999999)
    assert float(average) == pytest.approx(1e-6, rel=1e-6)


def test_rate_zero_follows_the_parameters():
    assert float(ema.update(jnp.zeros(()), jnp.float32(0.7), 1, 0.0)) == np.float32(0.7)


def test_mistakes():
    with pytest.raises(UsageError, match="must lie in"):
        ema.ema_rate(1, 1.0)
    with pytest.raises(UsageError, match="Known: inverse, none"):
        ema.ema_rate(1, 0.9, "linear")
