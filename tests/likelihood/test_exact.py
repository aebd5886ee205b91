"""log_prob against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, likelihood, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import sample_keys
from scoresde.predictions import Noise
from scoresde.registry import UsageError

CONTINUOUS = ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"]


@pytest.fixture(scope="module")
def wide_gaussian():
    """Sixteen dimensions, full covariance, wide beside VE's sigma_min."""
    factor = np.random.default_rng(2).normal(size=(16, 16)) / 4
    return analytic.gaussian(np.full((4, 4, 1), 0.2), factor @ factor.T + 0.2 * np.eye(16))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_exact_trace_matches_a_gaussian(name, wide_gaussian, key):
    denoiser = wide_gaussian.denoiser(sdes.SDES[name]())
    x = wide_gaussian.sample(key, 16)
    result = likelihood.log_prob(key, denoiser, x, trace="exact", rtol=1e-6, atol=1e-6)
    truth = wide_gaussian.log_prob(x)
    assert result.finished.all() and (result.stderr == 0).all()
    # VE starts from data blurred by sigma_min.
    tolerance = 1e-3 if name == "ve" else 1e-4
    np.testing.assert_allclose(result.nats / 16, truth / 16, atol=tolerance)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_exact_trace_matches_a_mixture(name, mixture, key):
    sde = sdes.SDES[name]()
    denoiser = mixture.denoiser(sde)
    x = mixture.sample(key, 64)
    result = likelihood.log_prob(key, denoiser, x, trace="exact", rtol=1e-6, atol=1e-6)
    # What the flow from t_min computes: the density of the state at t_min.
    truth = denoiser.log_prob(x, jnp.full((64,), sde.t_min))
    np.testing.assert_allclose(result.nats / 2, truth / 2, atol=1e-3)


@pytest.mark.parametrize("trace", ["rademacher", "gaussian"])
def test_probes_are_unbiased_with_a_calibrated_error(trace, wide_gaussian, key):
    denoiser = wide_gaussian.denoiser(sdes.VP())
    x = jnp.repeat(wide_gaussian.sample(key, 1), 256, axis=0)
    result = likelihood.log_prob(
        jax.random.key(5), denoiser, x, probes=8, trace=trace, rtol=1e-3, atol=1e-3
    )
    z = (result.nats - wide_gaussian.log_prob(x)) / result.stderr
    assert abs(z.mean()) < 4 / np.sqrt(256) * 1.3
    assert 0.7 < z.std() < 1.6  # Student's t with 7 degrees of freedom has 1.18
    mean_error = (result.nats - wide_gaussian.log_prob(x)).mean()
    assert abs(mean_error) < 4 * result.nats.std() / np.sqrt(256)


def test_one_probe_says_nothing_of_its_error(mixture, key):
    result = likelihood.log_prob(key, mixture.denoiser(sdes.VP()), mixture.sample(key, 2))
    assert jnp.isnan(result.stderr).all() and jnp.isfinite(result.nats).all()


def test_the_prior_and_the_direction_of_time(key):
    """A network that predicts no noise leaves x where it is, up to scale: log p in closed form."""
    for sde, scale in ((sdes.VE(), 1.0), (sdes.VP(), sdes.VP().alpha(1.0))):
        denoiser = Denoiser(sde, Noise(), lambda params, x, t, labels: 0 * x, None)
        x = jax.random.normal(key, (3, 5))
        result = likelihood.log_prob(key, denoiser, x, trace="exact", rtol=1e-6, atol=1e-6)
        scale = scale / sde.alpha(sde.t_min)
        std = 50.0 if isinstance(sde, sdes.VE) else 1.0
        normal = -0.5 * (scale * x / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
        np.testing.assert_allclose(result.latent, scale * x, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(result.nats, normal.sum(axis=1) + 5 * np.log(scale), rtol=1e-4)


def test_a_sample_does_not_depend_on_its_batch(mixture, key):
    denoiser = mixture.denoiser(sdes.VP())
    x = mixture.sample(key, 32).at[3].mul(20.0)  # a neighbour that needs other steps
    together = likelihood.log_prob(key, denoiser, x, probes=2)
    for index in (0, 3, 31):
        alone = likelihood.log_prob(
            sample_keys(key, 1, first=index), denoiser, x[index : index + 1], probes=2
        )
        np.testing.assert_allclose(alone.nats[0], together.nats[index], rtol=1e-4)
        assert alone.nfe[0] == together.nfe[index]
    assert len(set(together.nfe.tolist())) > 1


def test_nfe_is_the_number_of_evaluations(key):
    calls = []

    def count(_):
        calls.append(1)
        return np.float32(0)

    @jax.custom_jvp
    def zero(x):
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(count, shape, x.ravel()[0], vmap_method="sequential")

    zero.defjvp(lambda primals, tangents: (zero(*primals), jnp.zeros(())))

    def network(params, x, condition, labels):
        return 0.3 * x + zero(x)

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    result = likelihood.log_prob(key, denoiser, jnp.ones((1, 3)), rtol=1e-2, atol=1e-2)
    result.nats.block_until_ready()
    assert result.nfe.tolist() == [len(calls)]


def test_an_unfinished_solve_is_reported(mixture, key):
    result = likelihood.log_prob(
        key, mixture.denoiser(sdes.VP()), mixture.sample(key, 2), max_steps=4
    )
    assert not result.finished.any()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"trace": "hutch"}, "Unknown trace"),
        ({"probes": 0}, "at least 1"),
        ({"t_min": 2.0}, "t_min"),
        ({"method": "euler"}, "Unknown ODE method"),
        ({"rtol": 0.0}, "rtol"),
    ],
)
def test_mistakes(options, message, mixture, key):
    with pytest.raises(UsageError, match=message):
        likelihood.log_prob(key, mixture.denoiser(sdes.VP()), jnp.ones((2, 2)), **options)


def test_integer_images_are_refused(mixture, key):
    with pytest.raises(UsageError, match="dequantise"):
        likelihood.log_prob(key, mixture.denoiser(sdes.VP()), jnp.ones((2, 2), jnp.uint8))
