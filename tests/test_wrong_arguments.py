"""What people give in place of something else is said in one line, before anything is computed."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import scoresde
from scoresde import (
    Denoiser,
    analytic,
    codecs,
    data,
    likelihood,
    metrics,
    networks,
    ode,
    predictions,
    runs,
    samplers,
    sdes,
    training,
)
from scoresde.registry import UsageError

KEY = jax.random.key(0)
NOISE = predictions.get("noise")
DENOISER = analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(sdes.VP())
PARAMS = {"a": np.ones(2, np.float32)}
EMA = {"ema": training.EMA(rate=0.9)}


def network(params, x, noise_condition, condition=None):
    return x


POINTS = Denoiser(sdes.VP(), NOISE, network, None)


def log_prob(**options):
    return likelihood.log_prob(KEY, DENOISER, np.ones((3, 2), np.float32), **options)


def log_prob_from(t_min):
    return log_prob(t_min=t_min)


def bound(name, **options):
    return likelihood.LIKELIHOODS[name](**options)


def bound_from(t_min):
    return bound("score_flow", t_min=t_min)(KEY, DENOISER, np.ones((3, 2), np.float32))


def mixture_at(means):
    return analytic.GaussianMixture([1.0], means, [np.eye(2)])


def sample(**changes):
    arguments = {"key": KEY, "sampler": samplers.DDIM(), "denoiser": DENOISER, "shape": (4, 2)}
    return samplers.sample(**{**arguments, "steps": 2, **changes})


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sampler": "ddim"}, r"the name 'ddim'; samplers.get\('ddim'\)"),
        ({"sampler": samplers.DDIM}, r"the class DDIM; DDIM\(\)"),
        ({"sampler": samplers.pc}, "samplers.get makes one"),
        ({"denoiser": None}, "denoiser is needed, not a NoneType"),
        ({"denoiser": Denoiser}, "not the class Denoiser; make one"),
        ({"denoiser": sdes.VP()}, "denoiser is needed, not a VP"),
        ({"denoiser": network}, "denoiser is needed, not a function"),
        ({"denoiser": DENOISER.data}, r"its denoiser\(...\) makes one"),
        ({"shape": 3}, r"shape of the samples is \[batch, ...\].*not 3"),
        ({"shape": ()}, r"not \(\)"),
        ({"shape": (0, 2)}, r"each at least 1, and not \(0, 2\)"),
        ({"shape": (4.5, 2)}, r"not \(4.5, 2\)"),
        ({"shape": "42"}, "not '42'"),
        ({"shape": (4, 3)}, r"has the shape \(2,\)"),
        ({"shape": None, "x_init": "a"}, "States are arrays of numbers"),
        ({"shape": None, "x_init": 1.0}, r"States are arrays \[batch, ...\]"),
        ({"temperature": "1"}, "temperature must be a number, not '1'"),
        ({"trajectory": 1.5}, "positive stride, got 1.5"),
        ({"trajectory": "a"}, "positive stride, got 'a'"),
        ({"record": 3}, "record is a function"),
        ({"steps": None, "grid": ["a", "b"]}, "time grid is an array of times"),
        ({"condition": {"label": "a"}}, "must hold arrays of numbers"),
        ({"key": 0}, r"made by jax.random.key\(seed\), and are not 0"),
    ],
)
def test_sample(changes, message):
    with pytest.raises(UsageError, match=message) as error:
        sample(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((sdes.VP, NOISE, network, {}), r"the class VP; make one of it, VP\(...\)"),
        (("vp", NOISE, network, {}), "a process as its sde.*not 'vp'"),
        ((NOISE, sdes.VP(), network, {}), "a process as its sde"),
        ((sdes.VP(), predictions.Noise, network, {}), "the class Noise"),
        ((sdes.VP(), "noise", network, {}), "a way to read its network.*not 'noise'"),
        ((sdes.VP(), NOISE, None, {}), "a network.*not None"),
        ((sdes.VP(), NOISE, "ddpm", {}), "a network.*not 'ddpm'"),
    ],
)
def test_denoiser(arguments, message):
    with pytest.raises(UsageError, match=message):
        Denoiser(*arguments)


def test_a_denoiser_may_have_no_parameters_and_anything_in_its_leaves():
    denoiser = Denoiser(sdes.VP(), NOISE, network, None)
    assert sample(denoiser=denoiser).x.shape == (4, 2)
    assert jax.tree.map(lambda _: None, Denoiser(sdes.VP(), NOISE, network, PARAMS)).params


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: training.create_state(0, PARAMS, optax.sgd(1), EMA), "and are not 0"),
        (lambda: training.create_state(KEY, None, optax.sgd(1), EMA), "no parameters to train"),
        (lambda: training.create_state(KEY, PARAMS, "adam", EMA), "not 'adam'"),
        (lambda: training.create_state(KEY, PARAMS, optax.sgd(1), None), "not as None"),
        (lambda: training.create_state(KEY, PARAMS, optax.sgd(1), EMA["ema"]), "given by name"),
        (lambda: training.create_state(KEY, PARAMS, optax.sgd(1), {"ema": "ema"}), "not 'ema'"),
        (lambda: training.create_state(KEY, PARAMS, optax.sgd(1), {"e": training.EMA}), "object"),
        (lambda: training.make_mesh(3), "of devices.*not of 3"),
        (lambda: training.make_mesh("cpu"), "not of 'cpu'"),
        (lambda: scoresde.load(None), "not by None"),
        (lambda: scoresde.build("file.py"), r"build\(load_config\('file.py'\)\)"),
        (lambda: scoresde.build(None), "sections by name, and not None"),
        (lambda: scoresde.build([1]), r"not \[1\]"),
        (lambda: metrics.SlicedWasserstein()(KEY, np.ones((3, 2)), np.ones((4, 2))), "3 and 4"),
        (lambda: metrics.SlicedWasserstein()(0, np.ones((3, 2)), np.ones((3, 2))), "are not 0"),
        (lambda: metrics.EnergyDistance()(KEY, None, np.ones((3, 2))), "two arrays of samples"),
        (lambda: likelihood.log_prob(KEY, None, np.ones((3, 2))), "not a NoneType"),
        (lambda: likelihood.log_prob(KEY, DENOISER, None), "arrays of real values"),
        (lambda: jax.jit(log_prob_from)(0.1), "t_min must be known before"),
        (lambda: jax.jit(lambda n: log_prob(rtol=n))(0.1), "rtol must be known before"),
        (lambda: jax.jit(bound_from)(0.1), "t_min must be known before"),
        (lambda: jax.jit(mixture_at)(np.ones((1, 2))), "arrays of numbers"),
        (lambda: data.Loader(data.get("digits"), 8, seed=0), "one split of the data"),
        (lambda: data.Loader(np.ones((9, 2, 2, 1), np.uint8), 8, seed=0), "one split of the data"),
        (lambda: POINTS(np.ones((4, 2), np.float32), np.ones(3)), r"each of the 4 samples.*\(3,\)"),
        (lambda: runs.SampleRequest(num=0), "num must be a positive integer, not 0"),
        (lambda: runs.SampleRequest(seed="a"), "seed of SampleRequest must be an integer"),
        (lambda: runs.LikelihoodProtocol(num=2.5), "num of LikelihoodProtocol must be an integer"),
        (lambda: likelihood.log_prob(KEY, DENOISER, np.ones((3, 2)), prob=3), "mean 'probes'"),
        (lambda: bound("ddpm", steps=2)(KEY, None, np.ones((3, 2), int)), "not a NoneType"),
        (lambda: samplers.encode(None, np.ones((3, 2))), "not a NoneType"),
        (lambda: DENOISER.data.sample(0, 3), "are not 0"),
        (lambda: DENOISER.data.sample(KEY, "3"), "must be an integer, not '3'"),
        (lambda: DENOISER.data.denoiser(sdes.VP), "takes a process"),
        (lambda: analytic.GaussianMixture("a", [[1.0]], [[[1.0]]]), "arrays of numbers"),
    ],
)
def test_other_calls(call, message):
    with pytest.raises(UsageError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def small():
    return networks.get("ncsnpp", nf=8, ch_mult=(1,), num_res_blocks=1, attn_resolutions=())


def test_parameters_of_another_network_and_images_of_another_kind(small):
    params = small.init(KEY, (4, 4, 1))
    gray, t = jnp.ones((1, 4, 4, 1)), jnp.ones(1)
    assert small(params, gray, t).shape == gray.shape
    for given, x, message in (
        ({}, gray, "of another network"),
        (None, gray, "no parameters"),
        (params, jnp.ones((1, 4, 4, 3)), "x has 3 channels, and they are of images of 1"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            small(given, x, t)
        assert "\n" not in str(error.value) and "http" not in str(error.value)
    with pytest.raises(UsageError, match=r"image_shape is \(height, width, channels\)"):
        small.init(KEY, 3)
    with pytest.raises(UsageError, match="are not 0"):
        small.init(0, (4, 4, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: likelihood.bits_per_dim(1.0, 4, bin_range=3), "bin_range must be .low, high."),
        (lambda: likelihood.bits_per_dim(1.0, 4, bin_range=(1, 0)), "bin_range must be"),
        (lambda: likelihood.bits_per_dim("a", 4), "nats must be numbers, not 'a'"),
        (lambda: data.scale(0.5, 3), "data_range must be .low, high."),
        (lambda: codecs.ImageCodec(image_shape=(2, 2, 1)).decode("a"), "x is an array"),
        (lambda: training.Checkpoints(None), "in a directory, not in None"),
        (lambda: ode.solve(None, jnp.ones((2, 1)), 0.0, 1.0), "An ODE is a function"),
        (lambda: ode.solve(lambda t, y, args: y, None, 0.0, 1.0), "and initial states"),
        (lambda: sdes.get("vpp"), "Did you mean 'vp'"),
    ],
)
def test_other_functions_say_what_they_take(call, message):
    with pytest.raises(UsageError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_every_function_takes_the_same_keys(small):
    """Typed ones, and the kind that jax.random.PRNGKey makes."""
    old = jax.random.PRNGKey(0)
    optimizer = optax.sgd(1)
    for call in (
        lambda key: sample(key=key).x,
        lambda key: sample(key=jax.random.split(key, 4)).x,
        lambda key: small.init(key, (4, 4, 1)),
        lambda key: DENOISER.data.sample(key, 3),
        lambda key: metrics.SlicedWasserstein()(key, np.zeros((3, 2)), np.ones((3, 2))),
        lambda key: likelihood.log_prob(key, DENOISER, np.ones((3, 2), np.float32), rtol=0.1).nats,
    ):
        jax.tree.map(np.testing.assert_array_equal, call(old), call(KEY))
    states = [training.create_state(key, PARAMS, optimizer, EMA) for key in (old, KEY)]
    assert states[0].key.dtype == states[1].key.dtype
    with pytest.raises(UsageError, match="One random key is needed"):
        training.create_state(jax.random.split(KEY), PARAMS, optimizer, EMA)
