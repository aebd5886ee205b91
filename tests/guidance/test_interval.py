"""Guidance in a part of the way only."""

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from scoresde import predictions, sdes
from scoresde.denoiser import Denoiser
from scoresde.guidance import ClassifierFreeGuidance, Interval

SDE = sdes.VP()
EXACT = mixtures.images().denoiser(SDE)
X = 2 * jax.random.normal(jax.random.key(1), (6, 1, 2, 1))
T = jnp.array([0.02, 0.1, 0.3, 0.5, 0.8, 1.0])
LABEL = {"label": jnp.array([0, 1, 1, 0, 1, 0])}


@jax.jit
def call(denoiser, x, t, condition):
    return denoiser(x, t, condition)


@pytest.mark.parametrize(
    "interval",
    [(0.3, 1.2), Interval(0.3, 1.2), Interval(0.15, 0.4, "time"), Interval(0.1, 0.3, of="time")],
)
def test_guidance_applies_within_its_interval_only(interval):
    """T is at noise levels 0.07, 0.4, 1.2, 3.2, 20 and 150."""
    guided, everywhere, plain = (
        call(denoiser, X, T, LABEL)
        for denoiser in (
            ClassifierFreeGuidance(EXACT, 3.0, interval),
            ClassifierFreeGuidance(EXACT, 3.0),
            EXACT,
        )
    )
    interval = Interval.of_value(interval)
    level = T if interval.of == "time" else SDE.sigma(T) / SDE.alpha(T)
    inside = (level > interval.low) & (level <= interval.high)
    assert 1 <= inside.sum() < 5
    np.testing.assert_allclose(guided.noise[inside], everywhere.noise[inside], rtol=1e-5)
    np.testing.assert_allclose(guided.noise[~inside], plain.noise[~inside], rtol=1e-6)
    assert np.abs(everywhere.noise - plain.noise)[~inside].max() > 1e-2


@pytest.mark.parametrize("t", [0.5, T])
def test_outside_of_the_interval_one_model_runs_and_within_it_both(t):
    """T is at noise levels 0.07, 0.4, 1.2, 3.2, 20 and 150, and 0.5 at 3.2."""
    ran = []

    def network(params, x, t, condition):
        label = None if condition is None else condition["label"]
        jax.debug.callback(lambda _: ran.append(label is not None), x.ravel()[0])
        return 0.3 * x + (0 if label is None else label[:, None, None, None])

    denoiser = Denoiser(SDE, predictions.Noise(), network, None)
    for interval, expected in (((2.0, 4.0), [False, True]), ((0.001, 0.01), [True])):
        call(ClassifierFreeGuidance(denoiser, 3.0, interval), X, jnp.asarray(t), LABEL)
        jax.effects_barrier()
        assert sorted(ran) == expected
        ran.clear()


def test_an_interval_meets_a_process_where_a_time_of_it_is_inside():
    """Of what is learned that is not known while it is traced."""
    low, high = (float(SDE.sigma(t) / SDE.alpha(t)) for t in (SDE.t_min, SDE.t_max))
    for interval, meets in (
        ((0.0, 0.99 * low), False),
        ((0.0, low), True),
        ((0.5 * low, 1.1 * low), True),
        ((0.99 * high, 1.1 * high), True),
        ((1.01 * high, 2 * high), False),
    ):
        assert Interval(*interval).meets(SDE) == meets
    assert not Interval(1.5, 2.0, of="time").meets(SDE)

    learned = sdes.get("learned_vp")
    assert not Interval(1e6, 1e7).meets(learned)
    assert jax.jit(lambda sde: jnp.asarray(Interval(1e6, 1e7).meets(sde)))(learned)
