"""log_prob against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, likelihood, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import sample_keys
from scoresde.likelihood.trace import draw_vectors, value_and_traces
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


@pytest.mark.parametrize("trace", ["rademacher", "gaussian", "hutch++"])
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


def test_hutch_plus_plus_finds_the_dominant_directions(key):
    """A Jacobian of low rank is exact as soon as the sketch spans it."""
    factor = jax.random.normal(key, (2, 20))
    matrix = factor.T @ factor
    vectors = draw_vectors(key, (4, 5), 3, "hutch++", jnp.float32)
    x, shape = jnp.arange(20.0), (4, 5)
    value, traces = value_and_traces(
        lambda x: (matrix @ x.ravel()).reshape(shape), x.reshape(shape), vectors, "hutch++"
    )
    assert traces.shape == (3,) and vectors.shape == (6, 4, 5)
    np.testing.assert_allclose(value.ravel(), matrix @ x, rtol=1e-5)
    np.testing.assert_allclose(traces, jnp.trace(matrix), rtol=1e-4)


def test_the_decoder_bounds_the_density_of_what_it_decodes(wide_gaussian, key):
    """From a t_min at which VP has blurred the data; all in closed form for a Gaussian."""
    denoiser, keys = wide_gaussian.denoiser(sdes.VP()), jax.random.split(key, 256)
    x = jnp.repeat(wide_gaussian.sample(key, 1), 256, axis=0)
    options = {"t_min": 0.05, "trace": "exact", "rtol": 1e-4, "atol": 1e-4}
    nats = likelihood.log_prob(keys, denoiser, x, correction="decoder", **options).nats
    error = nats.std() / np.sqrt(256)

    alpha, sigma = (float(f(0.05)) for f in (sdes.VP().alpha, sdes.VP().sigma))
    variances = np.asarray(wide_gaussian.variances[0], np.float64)
    centred = np.ravel(x[0]) - np.ravel(wide_gaussian.means[0])
    square = np.asarray(wide_gaussian.directions[0].T @ centred, np.float64) ** 2
    # Decoding adds noise of the decoder's variance to E[x | x_t], which has shrink * variances.
    decoder, shrink = (sigma / alpha) ** 2, alpha**2 * variances
    shrink /= shrink + sigma**2
    decoded = shrink * variances + decoder
    density = -0.5 * (square / decoded + np.log(2 * np.pi * decoded)).sum()
    # E log w = log p(x) + E log decoder(x | x_t) - E log p(x | x_t): two normals, one mean, whose
    # distance to x has mean (1 - shrink) (x - mean) over q(x_t | x).
    posterior = shrink * decoder
    distance = (1 - shrink) ** 2 * square + shrink * posterior
    gap = 0.5 * (np.log(posterior / decoder) + distance * (1 / posterior - 1 / decoder)).sum()
    bound = float(wide_gaussian.log_prob(x[:1])[0]) + gap
    assert abs(nats.mean() - bound) < 4 * error
    assert abs(jax.nn.logsumexp(nats) - np.log(256) - density) < 4 * error
    assert abs(likelihood.log_prob(keys[:1], denoiser, x[:1], **options).nats[0] - density) > 0.1


def test_log_p_has_tolerances_of_its_own(wide_gaussian, key):
    denoiser, x = wide_gaussian.denoiser(sdes.VP()), wide_gaussian.sample(key, 8)

    def evaluate(**options):
        result = likelihood.log_prob(
            key, denoiser, x, trace="exact", rtol=1e-2, atol=1e-2, **options
        )
        return jnp.abs(result.nats - wide_gaussian.log_prob(x)).mean(), result.nfe.mean()

    loose, loose_nfe = evaluate()
    error, nfe = evaluate(log_prob_rtol=1e-6, log_prob_atol=1e-5)
    assert nfe > 1.5 * loose_nfe and error < 0.2 * loose


def test_more_probes_take_no_more_steps(wide_gaussian, key):
    denoiser, x = wide_gaussian.denoiser(sdes.VP()), wide_gaussian.sample(key, 8)
    one, many = (
        likelihood.log_prob(key, denoiser, x, probes=probes, rtol=1e-3, atol=1e-3).nfe
        for probes in (1, 64)
    )
    assert many.sum() <= 1.02 * one.sum()


def test_float64_states_do_not_gather_rounding(key):
    """Over thousands of steps of a low order. The network predicts no noise: x shrinks by alpha."""
    denoiser = Denoiser(sdes.VP(), Noise(), lambda params, x, t, labels: 0 * x, None)
    x, errors = jax.random.normal(key, (4, 64)), {}
    scale = float(sdes.VP().alpha(1.0) / sdes.VP().alpha(1e-5))
    for precision in ("float32", "float64"):
        options = {"method": "bosh3", "rtol": 1e-9, "atol": 1e-9, "precision": precision}
        result = likelihood.log_prob(key, denoiser, x, **options, max_steps=100_000)
        assert result.finished.all() and result.nats.dtype == result.latent.dtype == jnp.float32
        errors[precision] = np.std(np.float64(result.latent) / np.float64(x) / scale)
        np.testing.assert_allclose(np.mean(result.latent / x / scale), 1.0, atol=2e-6)
    assert errors["float64"] < 0.3 * errors["float32"]


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
        ({"log_prob_atol": -1.0}, "atol"),
        ({"correction": "tweedie"}, "Unknown correction"),
        ({"precision": "float16"}, "Unknown precision"),
    ],
)
def test_mistakes(options, message, mixture, key):
    with pytest.raises(UsageError, match=message):
        likelihood.log_prob(key, mixture.denoiser(sdes.VP()), jnp.ones((2, 2)), **options)


def test_integer_images_are_refused(mixture, key):
    with pytest.raises(UsageError, match="dequantise"):
        likelihood.log_prob(key, mixture.denoiser(sdes.VP()), jnp.ones((2, 2), jnp.uint8))
