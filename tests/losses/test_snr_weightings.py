"""Weightings of the SNR against the formulas of their papers, in float64 and by every output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from any_process import PROCESSES

from scoresde import losses, predictions, sdes
from scoresde.registry import UsageError

LOG_SNR = np.array([-6.0, -2.5, 0.0, 1.0, np.log(5.0), 3.0, 6.0])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# Of the squared error of x0 at an SNR, as the papers have them.
ON_X0 = {
    "min_snr": ({"gamma": 5.0}, lambda snr: np.minimum(snr, 5.0)),
    "p2": ({"k": 1.0, "gamma": 0.5}, lambda snr: snr / (1.0 + snr) ** 0.5),
    "sigmoid": ({"bias": -3.0}, lambda snr: np.exp(-3.0) * sigmoid(np.log(snr) + 3.0)),
}


def slope(sde, t):
    """-d log SNR / dt in float64, by a difference."""
    with jax.enable_x64(True):
        t, step = jnp.asarray(t, jnp.float64), 1e-6
        return np.asarray((sde.log_snr(t - step) - sde.log_snr(t + step)) / (2 * step))


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", ON_X0)
def test_the_formulas_of_the_papers(name, process):
    sde, (options, on_x0) = PROCESSES[process], ON_X0[name]
    with jax.enable_x64(True):
        ends = [float(sde.log_snr(t)) for t in (0.9 * sde.t_max, max(sde.t_min, 1e-3))]
        inside = LOG_SNR[(ends[0] < LOG_SNR) & (ends[1] > LOG_SNR)]
        t = np.asarray(sde.time_of_log_snr(jnp.asarray(inside, jnp.float64)))
    assert len(inside) >= 3
    snr = np.exp(inside)
    want = on_x0(snr) / snr * (slope(sde, t) if name == "sigmoid" else 1.0)
    found = losses.WEIGHTINGS[name](**options)(sde, jnp.asarray(t, jnp.float32))
    np.testing.assert_allclose(found, want, rtol=2e-4)
    alone = [losses.WEIGHTINGS[name](**options)(sde, jnp.float32(one)) for one in t]
    np.testing.assert_allclose(found, alone, rtol=1e-6)


@pytest.mark.parametrize("kind", predictions.PREDICTIONS)
def test_min_snr_is_one_objective_for_every_output(kind):
    """min(SNR, 5) on the error of x0, and the paper's forms for the noise and v."""
    sde, rng = sdes.VP(), np.random.default_rng(0)
    t = jnp.asarray([0.05, 0.2, 0.5, 0.9], jnp.float32)
    x0, noise, output = (jnp.asarray(rng.normal(size=(4, 3)), jnp.float32) for _ in range(3))
    prediction = predictions.get(kind)

    def network(params, x, noise_condition, condition, *, train, rng):
        return output

    loss = losses.DenoisingScoreMatching(
        sde=sde, prediction=prediction, network=network, weighting="min_snr"
    )
    found = loss.at(None, jax.random.key(0), x0, noise, t)
    read = prediction.read(sde, sde.perturb(x0, noise, t), t, output)
    alpha, sigma = (np.asarray(f(t), np.float64)[:, None] for f in (sde.alpha, sde.sigma))
    snr = (alpha / sigma)[:, 0] ** 2
    least = np.minimum(snr, 5.0)
    v_error = alpha * (read.noise - noise) - sigma * (read.x0 - x0)
    for weight, error in (
        (least, read.x0 - x0),
        (least / snr, read.noise - noise),
        (least / (snr + 1), v_error),
    ):
        want = weight * np.mean(np.asarray(error, np.float64) ** 2, axis=1)
        np.testing.assert_allclose(found, want, rtol=2e-3)


def test_at_the_ends_of_a_process():
    """Nothing but noise, and no noise at all: as their limits."""
    t, sde = jnp.asarray([0.0, 1.0]), sdes.RectifiedFlow(t_min=0.0, t_max=1.0)
    np.testing.assert_array_equal(losses.MinSNRWeighting()(sde, t), [0.0, 1.0])
    np.testing.assert_array_equal(losses.P2Weighting(k=2.0)(sde, t), [0.0, 0.5])
    np.testing.assert_array_equal(losses.P2Weighting(gamma=0.0)(sde, t[1:]), [1.0])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("min_snr", {"gamma": 0.0}, "needs gamma > 0, got 0.0"),
        ("p2", {"k": 0.0}, "k=0.0, gamma=1.0"),
        ("p2", {"gamma": -1.0}, "k=1.0, gamma=-1.0"),
        ("sigmoid", {"bias": float("inf")}, "finite bias, got inf"),
    ],
)
def test_options_out_of_range_are_refused(name, options, words):
    with pytest.raises(UsageError, match=words):
        losses.WEIGHTINGS[name](**options)
