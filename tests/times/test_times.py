"""Training times are unbiased and have the published density; grids decrease and end exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import sdes, times
from scoresde.registry import UsageError


@pytest.mark.parametrize("name", ["uniform", "stratified", "likelihood_importance"])
@pytest.mark.parametrize("sde", [sdes.VP(), sdes.SubVP(), sdes.VE(), sdes.Cosine()])
def test_weighted_means_are_means_over_uniform_time(name, sde, key):
    """E[weight h(t)] is the mean of h over [t_min, t_max], for an h that is large where p is."""

    def h(t):
        return sde.diffusion_squared(t) / sde.sigma(t) ** 2

    distribution = times.DISTRIBUTIONS[name](sde=sde, t_min=1e-3)
    t, weight = distribution(key, 200_000)
    assert t.min() >= 1e-3 and t.max() <= 1.0
    exact = (sde.log_snr(1e-3) - sde.log_snr(1.0)) / (1 - 1e-3)  # h = -d log_snr / dt
    values = weight * h(t)
    tolerance = max(5 * float(values.std()) / np.sqrt(len(t)), 1e-3 * exact)
    assert abs(values.mean() - exact) < tolerance


@pytest.mark.parametrize(
    "sde, t_min, normaliser",
    [
        (sdes.VP(), 1e-5, 23.864472),
        (sdes.VP(), 1e-3, 19.165387),
        (sdes.SubVP(), 1e-5, 37.678946),
        (sdes.SubVP(), 1e-2, 22.484136),
    ],
)
def test_importance_density_has_the_published_normaliser(sde, t_min, normaliser, key):
    t, weight = times.LikelihoodImportance(sde=sde, t_min=t_min)(key, 64)
    density = 1 / (weight * (1 - t_min))
    ratio = sde.diffusion_squared(t) / sde.sigma(t) ** 2 / density
    np.testing.assert_allclose(ratio, normaliser, rtol=1e-4)


def test_importance_sampling_removes_the_variance_of_likelihood_weighting(key):
    sde = sdes.VP()
    for name, largest in (("likelihood_importance", 1e-3), ("uniform", None)):
        t, weight = times.DISTRIBUTIONS[name](sde=sde)(key, 10_000)
        values = weight * sde.diffusion_squared(t) / sde.sigma(t) ** 2
        relative = values.std() / values.mean()
        assert relative < largest if largest else relative > 5


def test_stratified_draws_one_time_in_each_cell(key):
    t, _ = times.Stratified(sde=sdes.VP(t_min=0.0))(key, 100)
    assert (np.bincount(np.floor(np.asarray(t) * 100 - 1e-4).astype(int) % 100) <= 2).all()
    gaps = jnp.diff(jnp.sort(t))
    np.testing.assert_allclose(gaps, 0.01, atol=1e-5)


def test_log_normal_is_edms(key):
    t, weight = times.LogNormal(sde=sdes.EDM())(key, 100_000)
    assert abs(jnp.log(t).mean() + 1.2) < 0.02 and abs(jnp.log(t).std() - 1.2) < 0.02
    assert (weight == 1).all()


def test_discrete_times_are_the_levels(key):
    t, _ = times.Discrete(sde=sdes.DiscreteVP(), num_scales=10)(key, 1000)
    levels = np.unique(np.round(np.asarray(t) * 9, 5))
    np.testing.assert_allclose(levels, np.arange(10), atol=1e-4)


@pytest.mark.parametrize("name", list(times.GRIDS))
@pytest.mark.parametrize("sde", [sdes.VP(), sdes.SubVP(), sdes.VE(), sdes.EDM(), sdes.Cosine()])
def test_named_grids_decrease_between_the_exact_ends(name, sde):
    grid = np.asarray(times.make_grid(sde, 37, name))
    assert len(grid) == 38 and (np.diff(grid) < 0).all()
    assert grid[0] == np.float32(sde.t_max) and grid[-1] == np.float32(sde.t_min)


@pytest.mark.parametrize("sde, name", [(sdes.VP(), "uniform"), (sdes.EDM(), "edm")])
def test_the_default_grid_is_the_process_s(sde, name):
    np.testing.assert_array_equal(times.make_grid(sde, 9, None), times.make_grid(sde, 9, name))


def test_edm_grid_is_karras_schedule():
    sigma_min, sigma_max, rho, n = 0.002, 80.0, 7, 18
    i = np.arange(n)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    sigma = (high + i / (n - 1) * (low - high)) ** rho
    np.testing.assert_allclose(times.make_grid(sdes.EDM(), n - 1, "edm"), sigma, rtol=1e-4)


@pytest.mark.parametrize(
    "steps, grid",
    [(None, None), (0, None), (2.5, None), (5, "triangular"), (3, [1.0, 0.5]), (None, [0.1, 0.5]),
     (None, [2.0, 0.5]), (None, [0.5, 0.0]), (None, [0.5]), (None, [0.5, np.nan])],
)  # fmt: skip
def test_impossible_grids_are_refused(steps, grid):
    with pytest.raises(UsageError):
        times.make_grid(sdes.VP(), steps, grid)


def test_infinite_log_snr_is_refused_where_it_matters(key):
    flow = sdes.RectifiedFlow()
    with pytest.raises(UsageError, match="lower t_max"):
        times.make_grid(flow, 10, "log_snr")
    with pytest.raises(UsageError, match="log-SNR"):
        times.LikelihoodImportance(sde=flow)(key, 4)
    t, _ = jax.jit(lambda key: times.LikelihoodImportance(sde=flow, t_max=0.99)(key, 4))(key)
    assert (t <= 0.99).all()


def test_training_times_outside_the_process_are_refused(key):
    with pytest.raises(UsageError, match="must lie in"):
        times.Uniform(sde=sdes.VP(), t_max=2.0)(key, 4)
