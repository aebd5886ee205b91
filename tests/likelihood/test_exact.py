"""log_prob against closed forms."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, likelihood, sdes
from scoresde.denoiser import Denoiser
from scoresde.predictions import Noise, ScaledTime
from scoresde.registry import UsageError

CONTINUOUS = ["vp", "subvp", "ve", "edm", "cosine", "rectified_flow"]


@pytest.fixture(scope="module")
def data():
    """In sixteen dimensions: a Gaussian, as two equal components, and a mixture of two."""
    factors = np.random.default_rng(2).normal(size=(2, 16, 16)) / 4
    means = np.stack([np.full((4, 4, 1), 0.2), np.linspace(-0.5, 0.5, 16).reshape(4, 4, 1)])
    covariances = factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(16)
    return {
        name: analytic.GaussianMixture([0.3, 0.7], means[which], covariances[which])
        for name, which in {"gaussian": [0, 0], "mixture": [0, 1]}.items()
    }


@pytest.fixture(scope="module")
def exact(key):
    """(denoiser, x [16, 4, 4, 1], tolerance, **options) -> LogProb, of one program for them all."""

    def log_prob(denoiser, x, tolerance, **options):
        assert x.shape == (16, 4, 4, 1)
        options = {"rtol": tolerance, "atol": tolerance, **options}
        return likelihood.log_prob(key, denoiser, x, trace="exact", **options)

    return log_prob


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_exact_trace_matches_the_density(name, kind, data, any_process, exact, key):
    denoiser = data[kind].denoiser(any_process(name))
    x = data[kind].sample(key, 16)
    result = exact(denoiser, x, 1e-6)
    assert result.finished.all() and (result.stderr == 0).all()
    # What the flow from t_min computes: the density of the state at t_min.
    truth = denoiser.log_prob(x, jnp.full(16, sdes.SDES[name]().t_min))
    np.testing.assert_allclose(result.nats / 16, truth / 16, atol=2e-5)
    # That of the data, but for VE, which starts from data blurred by sigma_min.
    tolerance = 1e-3 if name == "ve" else 1e-4
    np.testing.assert_allclose(result.nats / 16, data[kind].log_prob(x) / 16, atol=tolerance)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_error_shrinks_with_the_tolerance_at_the_solvers_order(
    name, data, any_process, exact, key
):
    denoiser = data["mixture"].denoiser(any_process(name))
    x = data["mixture"].sample(key, 16)
    truth = denoiser.log_prob(x, jnp.full(16, sdes.SDES[name]().t_min))
    results = [exact(denoiser, x, tolerance) for tolerance in (1e-3, 1e-5)]
    errors = [np.sqrt(np.mean((result.nats - truth) ** 2)) for result in results]
    nfe = [np.mean(result.nfe) for result in results]
    assert np.log(errors[0] / errors[1]) / np.log(nfe[1] / nfe[0]) > 4  # the order is 5


PRIOR_STD = {"vp": 1, "subvp": 1, "ve": 50, "edm": 80, "cosine": 1, "rectified_flow": 1}


def _no_noise(params, x, t, condition):
    return 0 * x


PROBES = {"probes": 8, "rtol": 1e-3, "atol": 1e-3}


@pytest.fixture(scope="module")
def images(data):
    """256 images, of which one lies far out and needs steps of its own."""
    return data["mixture"].sample(jax.random.key(1), 256).at[0].mul(10.0)


@pytest.fixture(scope="module")
def estimates(data, images):
    """trace -> LogProb of the images under VP."""
    denoiser = data["mixture"].denoiser(sdes.VP())

    @functools.cache
    def log_prob(trace):
        return likelihood.log_prob(jax.random.key(5), denoiser, images, trace=trace, **PROBES)

    return log_prob


@pytest.mark.parametrize("trace", ["rademacher", "hutch++"])
def test_probes_are_unbiased_with_a_calibrated_error(trace, data, images, estimates):
    nats, stderr = (values[1:] for values in estimates(trace)[:2])
    error = nats - data["mixture"].log_prob(images[1:])
    z = error / stderr
    assert abs(z.mean()) < 4 / np.sqrt(255) * 1.3
    assert 1.0 < z.std() < 1.4  # Student's t with 7 degrees of freedom has 1.18
    assert abs(error.mean()) < 4 * np.sqrt(np.mean(stderr**2) / 255)


def test_one_probe_takes_as_many_steps_and_says_nothing_of_its_error(data, images, estimates):
    denoiser = data["mixture"].denoiser(sdes.VP())
    with jax.debug_nans(True):  # nothing is computed that is not a number
        one = likelihood.log_prob(jax.random.key(5), denoiser, images, **{**PROBES, "probes": 1})
    assert estimates("rademacher").nfe.sum() <= 1.02 * one.nfe.sum()
    assert jnp.isnan(one.stderr).all() and jnp.isfinite(one.nats).all()


def test_the_decoder_bounds_the_density_of_what_it_decodes(data, any_process, exact, key):
    """From a t_min at which VP has blurred the data; all in closed form for a Gaussian."""
    wide_gaussian = data["gaussian"]
    denoiser, keys = wide_gaussian.denoiser(sdes.VP()), jax.random.split(key, 256)
    x = jnp.repeat(wide_gaussian.sample(key, 1), 256, axis=0)
    options = {"t_min": 0.05, "trace": "exact", "rtol": 1e-4, "atol": 1e-4}
    nats = likelihood.log_prob(keys, denoiser, x, correction="decoder", **options).nats
    error = nats.std() / np.sqrt(256)

    alpha, sigma = (float(f(0.05)) for f in (sdes.VP().alpha, sdes.VP().sigma))
    variances = np.asarray(wide_gaussian.variances[0], np.float64)
    centered = np.ravel(x[0]) - np.ravel(wide_gaussian.means[0])
    square = np.asarray(wide_gaussian.directions[0].T @ centered, np.float64) ** 2
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
    blurred = exact(wide_gaussian.denoiser(any_process("vp")), x[:16], 1e-4, t_min=0.05)
    assert abs(blurred.nats[0] - density) > 0.1


def test_log_p_has_tolerances_of_its_own(data, any_process, exact, key):
    denoiser, x = data["gaussian"].denoiser(any_process("vp")), data["gaussian"].sample(key, 16)

    def error_and_nfe(**options):
        result = exact(denoiser, x, 1e-2, **options)
        return jnp.abs(result.nats - data["gaussian"].log_prob(x)).mean(), result.nfe.mean()

    loose, loose_nfe = error_and_nfe()
    error, nfe = error_and_nfe(log_prob_rtol=1e-6, log_prob_atol=1e-5)
    assert nfe > 1.5 * loose_nfe and error < 0.2 * loose


def test_what_is_not_a_number_ends_at_once_and_hurts_no_neighbor(data, any_process, exact, key):
    denoiser, x = data["gaussian"].denoiser(any_process("vp")), data["gaussian"].sample(key, 16)
    whole = exact(denoiser, x, 1e-3)
    hurt = exact(denoiser, x.at[3].set(jnp.nan), 1e-3)
    assert jnp.isnan(hurt.nats[3]) and not hurt.finished[3] and hurt.nfe[3] < 20
    # A vector of numbers that NaN is among may be rounded by other instructions: the last bit.
    np.testing.assert_allclose(np.delete(hurt.nats, 3), np.delete(whole.nats, 3), rtol=3e-7)


def test_the_gradient_is_the_score(key):
    """At zero too, where the length of the solver's first step has no derivative."""
    sde, variance = sdes.VP(), 0.2
    kind = Noise(time_input=ScaledTime(scale=1.0))

    def network(params, x, t, condition):
        return (sde.sigma(t) / (sde.alpha(t) ** 2 * variance + sde.sigma(t) ** 2))[:, None] * x

    def total(x):
        options = {"method": "bosh3", "rtol": 1e-4, "atol": 1e-4, "max_steps": 256}
        denoiser = Denoiser(sde, kind, network, None)
        return likelihood.log_prob(key, denoiser, x, trace="exact", **options).nats.sum()

    x = jnp.array([[0.0, 0.0], [0.5, 0.0]])
    np.testing.assert_allclose(jax.grad(total)(x), -x / variance, rtol=1e-3, atol=1e-3)


def test_float64_states_do_not_gather_rounding(key):
    """Over hundreds of steps of a low order. The network predicts no noise: x shrinks by alpha."""
    denoiser = Denoiser(sdes.VP(), Noise(), _no_noise, None)
    x = jax.random.normal(key, (4, 64))
    result = likelihood.log_prob(
        key, denoiser, x, method="bosh3", rtol=1e-9, atol=1e-9, precision="float64"
    )
    assert result.finished.all() and result.nats.dtype == result.latent.dtype == jnp.float32
    scale = float(sdes.VP().alpha(1.0) / sdes.VP().alpha(1e-5))
    ratio = np.float64(result.latent) / np.float64(x) / scale
    assert ratio.std() < 1e-7  # in float32, 6e-7
    np.testing.assert_allclose(ratio.mean(), 1.0, atol=2e-6)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_the_prior_and_the_direction_of_time(name, any_process, key):
    """A network that predicts no noise leaves x where it is, up to scale: log p in closed form."""
    denoiser = Denoiser(any_process(name), Noise(), _no_noise, None)
    x = jax.random.normal(key, (3, 5))
    end = {"t_max": 0.9} if name == "rectified_flow" else {}  # where something of x is left
    denoiser = dataclasses.replace(denoiser, sde=dataclasses.replace(denoiser.sde, **end))
    result = likelihood.log_prob(key, denoiser, x, trace="exact", rtol=1e-6, atol=1e-6)
    sde = sdes.SDES[name](**end)
    scale = float(sde.alpha(sde.t_max) / sde.alpha(sde.t_min))
    std = PRIOR_STD[name]
    normal = -0.5 * (scale * x / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(result.latent, scale * x, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(result.nats, normal.sum(axis=1) + 5 * np.log(scale), rtol=1e-4)


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

    def network(params, x, noise_condition, condition):
        return 0.3 * x + zero(x)

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    for tolerance, enough in ((1e-2, True), (1e-5, False)):
        calls.clear()
        result = likelihood.log_prob(
            key, denoiser, jnp.ones((1, 3)), rtol=tolerance, atol=tolerance, max_steps=16
        )
        result.nats.block_until_ready()
        assert result.finished.tolist() == [enough] == jnp.isfinite(result.nats).tolist()
        assert not enough or result.nfe.tolist() == [len(calls)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"trace": "hutch"}, "Unknown trace"),
        ({"probes": 0}, "at least 1"),
        ({"probes": 2.5}, "an integer"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"condition": {"label": [1, 2, 3]}}, "2 samples needs arrays"),
        ({"t_min": 2.0}, "t_min"),
        ({"t_min": 0.0}, "infinitely fast at t = 0"),
        ({"method": "euler"}, "Unknown ODE method"),
        ({"rtol": 0.0}, "rtol"),
        ({"log_prob_atol": -1.0}, "atol"),
        ({"correction": "tweedie"}, "Unknown correction"),
        ({"precision": "float16"}, "Unknown precision"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message, mixture, key):
    with pytest.raises(UsageError, match=message):
        likelihood.log_prob(key, mixture.denoiser(sdes.VP()), jnp.ones((2, 2)), **options)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.ones((2, 2), np.uint8), "dequantize"),
        (np.ones(2), "of shape"),
        (np.ones((0, 2)), "of shape"),
    ],
)
def test_what_has_no_density_is_refused(x, message, mixture, key):
    with pytest.raises(UsageError, match=message):
        likelihood.log_prob(key, mixture.denoiser(sdes.VP()), x)


def test_a_decoder_needs_noise_to_decode_from(mixture, key):
    """Rectified flow starts without any; its flow alone is well defined there."""
    denoiser, x = mixture.denoiser(sdes.RectifiedFlow(t_min=0.0)), jnp.ones((2, 2))
    with pytest.raises(UsageError, match="at t = 0 there is none"):
        likelihood.log_prob(key, denoiser, x, correction="decoder")


def test_float64_inside_a_transformation_is_refused(mixture, key):
    def nats(x):
        return likelihood.log_prob(key, mixture.denoiser(sdes.VP()), x, precision="float64").nats

    with pytest.raises(UsageError, match="inside jit, vmap or grad"):
        jax.eval_shape(nats, jnp.ones((2, 2)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_state_is_never_less_than_float32(dtype, mixture, key):
    denoiser = mixture.denoiser(sdes.VP())
    result = jax.eval_shape(
        lambda x: likelihood.log_prob(key, denoiser, x), jnp.ones((2, 2), dtype)
    )
    assert result.nats.dtype == result.latent.dtype == result.stderr.dtype == jnp.float32
