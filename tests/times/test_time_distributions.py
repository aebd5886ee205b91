"""Training times are unbiased and have the published density."""

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
    "sde, t_min, normalizer",
    [
        (sdes.VP(), 1e-5, 23.864472),
        (sdes.VP(), 1e-3, 19.165387),
        (sdes.SubVP(), 1e-5, 37.678946),
        (sdes.SubVP(), 1e-2, 22.484136),
    ],
)
def test_importance_density_has_the_published_normalizer(sde, t_min, normalizer, key):
    t, weight = times.LikelihoodImportance(sde=sde, t_min=t_min)(key, 64)
    density = 1 / (weight * (1 - t_min))
    ratio = sde.diffusion_squared(t) / sde.sigma(t) ** 2 / density
    np.testing.assert_allclose(ratio, normalizer, rtol=1e-4)


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


def test_importance_sampling_needs_a_finite_log_snr(key):
    flow = sdes.RectifiedFlow()
    with pytest.raises(UsageError, match="log-SNR"):
        times.LikelihoodImportance(sde=flow)(key, 4)
    t, _ = jax.jit(lambda key: times.LikelihoodImportance(sde=flow, t_max=0.99)(key, 4))(key)
    assert (t <= 0.99).all()


def test_training_times_outside_the_process_are_refused(key):
    with pytest.raises(UsageError, match="must lie in"):
        times.Uniform(sde=sdes.VP(), t_max=2.0)(key, 4)
