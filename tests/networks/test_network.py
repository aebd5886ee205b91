"""The wrapper around a module: equality, initial parameters, and modules of one's own."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import networks
from scoresde.registry import UsageError

SHAPE = (8, 8, 3)


def test_equal_options_give_equal_networks_that_compile_once(small, images):
    assert small(ch_mult=[1]) == small(ch_mult=(1,))
    assert hash(small(ch_mult=[1])) == hash(small(ch_mult=(1,)))
    assert small() != small(nf=16)
    traces = []

    @functools.partial(jax.jit, static_argnums=0)
    def shape(network, x):
        traces.append(network)
        return x.shape[0]

    assert shape(small(), images[0]) == shape(small(), images[0]) == 3
    assert len(traces) == 1


@pytest.fixture(scope="module")
def params(small):
    return small().init(jax.random.key(0), SHAPE)


def test_the_first_output_is_almost_zero(small, params, images):
    output = jax.jit(small(scale_by_sigma=False).apply)(params, *images)
    assert 0 < float(jnp.abs(output).max()) < 1e-3


def test_a_network_without_parameters_is_refused(small, images):
    with pytest.raises(UsageError, match="params=None"):
        small().apply(None, *images)


def test_parameters_depend_on_the_key_alone(small, params):
    again = small().init(jax.random.key(0), SHAPE)
    jitted = jax.jit(lambda key: small().init(key, SHAPE))(jax.random.key(0))
    legacy = small().init(jax.random.PRNGKey(0), SHAPE)
    for same in (again, jitted, legacy):
        jax.tree.map(np.testing.assert_array_equal, same, params)
    other = small().init(jax.random.key(1), SHAPE)
    kernels = (tree["Conv_0"]["kernel"] for tree in (params, other))
    assert not np.allclose(*kernels)


def test_abstract_initialization_has_the_same_types(small, params):
    abstract = jax.eval_shape(lambda key: small().init(key, SHAPE), jax.random.key(0))
    described = small().parameter_shapes(SHAPE)
    types = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), params)
    for tree in (abstract, described):
        assert jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tree) == types
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_laws_of_the_initial_parameters():
    params = networks.get("ncsnpp", nf=64, ch_mult=(2,), num_res_blocks=1).init(
        jax.random.key(0), SHAPE
    )
    block = params["ResnetBlockBigGANpp_0"]
    for kernel, scale in (
        (block["Conv_0"]["kernel"], 1.0),  # 3x3, 64 -> 128
        (block["Conv_1"]["kernel"], 1e-10),
        (block["Dense_0"]["kernel"], 1.0),
        (params["AttnBlockpp_0"]["NIN_0"]["W"], 0.1),
        (params["AttnBlockpp_0"]["NIN_3"]["W"], 1e-10),
    ):
        fan = np.prod(kernel.shape[:-2]) * np.mean(kernel.shape[-2:])
        bound = np.sqrt(3 * scale / fan)
        assert 0.99 * bound < np.abs(kernel).max() <= bound * (1 + 1e-6)
        np.testing.assert_allclose(np.std(kernel), bound / np.sqrt(3), rtol=0.03)
    frequencies = params["GaussianFourierProjection_0"]["W"]
    np.testing.assert_allclose(np.std(frequencies), 16.0, rtol=0.3)
    assert not np.any(block["Conv_0"]["bias"])
    assert np.all(block["GroupNorm_0"]["scale"] == 1)


class Mine(nn.Module):
    """A user's own module, of Flax's layers."""

    @nn.compact
    def __call__(self, x, noise_condition, labels=None, *, train=False):
        return nn.Dense(x.shape[-1])(x) / noise_condition[:, None, None, None]


def test_a_module_of_ones_own_is_a_network(images):
    network = networks.Network(Mine())
    params = network.init(jax.random.key(0), SHAPE)
    assert params["Dense_0"]["kernel"].shape == (3, 3)
    x, sigma = images
    expected = x @ params["Dense_0"]["kernel"] / sigma[:, None, None, None]
    np.testing.assert_allclose(network(params, x, sigma), expected, rtol=1e-4)
