"""The learned noise schedule: a process like any other, and what its training does."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import losses, predictions, sdes, times
from scoresde.registry import UsageError


@pytest.fixture(scope="module")
def schedule():
    """A schedule with a shape of its own, and ends between which a mixture is resolved."""
    sde = sdes.learned_vp(gamma_min=-8.0, gamma_max=5.0, units=8)
    rng = np.random.default_rng(0)
    shape = {
        name: value + 0.4 * rng.normal(size=value.shape).astype(np.float32)
        for name, value in sde.shape.items()
    }
    return dataclasses.replace(sde, shape=shape)


def moved(sde, name, amount):
    """The schedule with the first entry of one of its arrays moved."""
    if name == "ends":
        return dataclasses.replace(sde, ends=sde.ends.at[0].add(amount))
    entry = sde.shape[name]
    entry = jnp.ravel(entry).at[0].add(amount).reshape(entry.shape)
    return dataclasses.replace(sde, shape={**sde.shape, name: entry})


def test_gamma_rises_between_its_ends(schedule):
    t = jnp.linspace(0, 1, 200)
    assert (jnp.diff(schedule.gamma(t)) > 0).all()
    np.testing.assert_allclose(schedule.gamma(jnp.array([0.0, 1.0])), [-8.0, 5.0], rtol=1e-6)
    np.testing.assert_allclose(schedule.alpha(t) ** 2 + schedule.sigma(t) ** 2, 1, rtol=1e-6)
    np.testing.assert_allclose(
        schedule.diffusion_squared(t), sdes.SDE.diffusion_squared(schedule, t), rtol=1e-3
    )
    with pytest.raises(UsageError, match="gamma_min"):
        sdes.learned_vp(gamma_min=3.0, gamma_max=-3.0)
    with pytest.raises(UsageError, match="t_max"):
        sdes.learned_vp(t_max=2.0)


@pytest.mark.parametrize("name", ["ends", "log_slope", "centre"])
def test_the_time_of_a_log_snr_has_its_implicit_derivative(name, schedule):
    log_snr = jnp.array([6.0, 1.0, -3.0])
    times_at = jax.jit(lambda amount: moved(schedule, name, amount).time_of_log_snr(log_snr))
    derivative = jax.jvp(times_at, (0.0,), (1.0,))[1]
    numeric = (times_at(0.03) - times_at(-0.03)) / 0.06
    np.testing.assert_allclose(derivative, numeric, rtol=2e-2, atol=2e-5)
    slope = jax.jvp(schedule.time_of_log_snr, (log_snr,), (jnp.ones(3),))[1]
    np.testing.assert_allclose(slope, -1 / schedule.gamma_dot(times_at(0.0)), rtol=1e-4)


def test_times_and_grids_where_the_schedule_is_traced(schedule, key):
    """What cannot be checked there is left out; the numbers are what they should be."""

    @jax.jit
    def traced(sde):
        drawn, weight = times.LikelihoodImportance(sde=sde)(key, 16)
        return sde.log_snr(drawn), weight * sde.gamma_dot(drawn), times.make_grid(sde, 9, "edm")

    log_snr, weight, grid = traced(schedule)
    np.testing.assert_allclose(jnp.diff(jnp.sort(log_snr)), 13 / 16, atol=1e-3)
    np.testing.assert_allclose(weight, 13, rtol=1e-4)
    assert grid[0] == schedule.t_max and grid[-1] == schedule.t_min
    sigma = jnp.exp(0.5 * schedule.gamma(grid)) ** (1 / 7)
    np.testing.assert_allclose(jnp.diff(sigma), (sigma[-1] - sigma[0]) / 9, rtol=1e-3)


def estimates(sde, key, mixture, x):
    """The diffusion cost of each sample, from one time each, under the exact denoiser."""
    denoiser = mixture.denoiser(sde)

    def network(params, x, noise_condition, condition, *, train, rng):
        return denoiser(x, noise_condition).noise

    loss = losses.DenoisingScoreMatching(
        sde=sde,
        prediction=predictions.Noise(time_input=predictions.ScaledTime(scale=1.0)),
        network=network,
        times=times.Stratified(sde=sde),
        weighting=losses.LikelihoodWeighting(),
        reduction="half_sum",
    )
    return loss.per_sample(None, key, x)[0]


def test_the_bound_depends_on_the_ends_alone(mixture, schedule, key):
    """Of the schedule's parameters: section 5.1 of VDM."""
    x = mixture.sample(key, 2048)

    slope = jax.jit(jax.grad(lambda sde, key: jnp.mean(estimates(sde, key, mixture, x))))
    each = [slope(schedule, key) for key in jax.random.split(key, 16)]
    slopes = jax.tree.map(lambda *values: np.stack(values), *each)
    assert abs(slopes.ends[:, 0].mean()) > 20 * slopes.ends[:, 0].std() / np.sqrt(16)
    for values in slopes.shape.values():
        assert (np.abs(values.mean(axis=0)) < 4.5 * values.std(axis=0) / np.sqrt(16)).all()
        assert values.std(axis=0).max() > 1e-3
