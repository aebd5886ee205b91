"""Parameters that do not fit the input are one line, not Flax's error."""

import jax
import numpy as np
import pytest

from scoresde import likelihood, networks, predictions, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.registry import UsageError


def images(*shape):
    return np.zeros(shape, np.float32)


@pytest.fixture(scope="module")
def gray(small):
    network = small()
    return network, network.init(jax.random.key(0), (8, 8, 1))


@pytest.mark.parametrize(
    "x, message",
    [
        (images(2, 8, 8, 3), "x has 3 channels, and they are of images of 1"),
        (images(2, 1, 8, 8), "x has 8 channels, and they are of images of 1.* transpose"),
    ],
)
def test_images_of_other_channels_are_one_line(gray, x, message):
    network, params = gray
    with pytest.raises(UsageError, match=message) as error:
        network.apply(params, x, 1.0)
    assert "\n" not in str(error.value) and "http" not in str(error.value)
    with pytest.raises(UsageError, match=message):
        jax.eval_shape(network.apply, params, x, 1.0)


def test_a_batch_of_other_channels_is_one_line_from_sampler_and_likelihood(gray):
    denoiser = Denoiser(sdes.VP(t_min=1e-3), predictions.Noise(), *gray)
    key, ddim = jax.random.key(0), samplers.get("ddim")
    with pytest.raises(UsageError, match="x has 3 channels, and they are of images of 1"):
        samplers.sample(key, ddim, denoiser, (2, 8, 8, 3), steps=2)
    with pytest.raises(UsageError, match="x has 3 channels, and they are of images of 1"):
        likelihood.log_prob(key, denoiser, images(2, 8, 8, 3))


def test_the_flow_of_the_dequantizer_says_the_same():
    options = {"couplings": 1, "filters": 4, "blocks": 1, "components": 1, "heads": 0}
    flow = networks.dequantizer_network(**options, context_channels=4, context_blocks=0)
    params = flow.init(jax.random.key(0), (4, 4, 1))
    with pytest.raises(UsageError, match="x has 3 channels, and they are of images of 1"):
        flow.apply(params, images(2, 4, 4, 3), images(2, 4, 4, 3))


@pytest.mark.parametrize("shape", [(4,), (8, 8, 1), (2, 1, 8, 8, 1)])
def test_what_are_no_images_is_one_line(gray, shape):
    network, params = gray
    with pytest.raises(UsageError, match=r"\[batch, height, width, channels\]") as error:
        network.apply(params, images(*shape), 1.0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("wrap", [lambda p: {}, lambda p: {"params": p}, lambda p: np.zeros(3)])
def test_what_are_no_parameters_of_this_network_are_one_line(gray, wrap):
    network, params = gray
    with pytest.raises(UsageError, match="they are of another network") as error:
        network.apply(wrap(params), images(2, 8, 8, 1), 1.0)
    assert "\n" not in str(error.value)


def test_parameters_of_a_wider_network_are_of_another(gray, small):
    network, _ = gray
    params = small(nf=16).init(jax.random.key(0), (8, 8, 1))
    with pytest.raises(UsageError, match=r"another network.*shape \(8,\).*shape \(16,\)"):
        jax.eval_shape(network.apply, params, images(2, 8, 8, 1), 1.0)
