"""EDM2's network: its start, what conditions it, limits and refusals. Outputs: tests/pretrained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import networks
from scoresde.registry import UsageError

SMALL = {
    "model_channels": 8,
    "channel_mult": [1],
    "num_blocks": 1,
    "channels_per_head": 4,
    "attn_resolutions": [8],
    "log_variance_features": 4,
}


@pytest.fixture(scope="module")
def network():
    return networks.get("edm2", **SMALL, label_dim=5, label_dropout=0.5)


@pytest.fixture(scope="module")
def params(network, randomized):
    return jax.tree.map(np.float32, randomized(network))


@pytest.fixture(scope="module")
def apply(network, params, images):
    compiled = jax.jit(network.apply)
    return lambda params=params, x=images[0], **condition: compiled(params, x, images[1], condition)


def test_it_starts_silent_with_rows_of_unit_variance(network, apply):
    """Gains are zero: the output is, whatever the input, and noise and class change no block."""
    start = network.init(jax.random.key(0), (8, 8, 3))
    assert not np.any(apply(start, label=np.array([0, 1, 5])))
    gains = [leaf for leaf in jax.tree.leaves(start) if leaf.shape == ()]
    assert len(gains) == 6 and not any(gains)  # five blocks, and the output
    for name in ("emb_noise", "enc_8x8_conv"):
        assert float(jnp.std(start[name]["kernel"])) == pytest.approx(1, abs=0.15)


def test_classes_condition_and_may_be_left_out(apply):
    nothing, told = apply(label=np.array([5, 5, 5])), apply(label=np.array([5, 2, 3]))
    one_hot = np.zeros((3, 5), np.float32)
    one_hot[[1, 2], [2, 3]] = 1
    np.testing.assert_allclose(apply(label=one_hot), told, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nothing[0], told[0], rtol=1e-5, atol=1e-6)
    for sample in (1, 2):
        change = np.linalg.norm(nothing[sample] - told[sample])
        assert change > 1e-2 * np.linalg.norm(nothing[sample])


def test_samples_of_a_batch_are_apart(apply, images):
    labels = np.array([1, 2, 3])
    changed = np.array(images[0])
    changed[1] += 1.0
    one, other = apply(label=labels), apply(x=changed, label=labels)
    np.testing.assert_allclose(one[::2], other[::2], rtol=1e-5, atol=1e-6)
    assert np.abs(one[1] - other[1]).max() > 1e-2


def test_classes_are_dropped_in_training(network, params, images):
    labels = {"label": np.array([0, 1, 2])}

    def of(key):
        return network.apply(params, *images, labels, train=True, rng=key)

    outputs = jax.jit(jax.vmap(of))(jax.random.split(jax.random.key(0), 16))
    assert len({float(value) for value in outputs[:, 0, 0, 0, 0]}) == 2
    with pytest.raises(UsageError, match="drops activations or labels in training"):
        network.apply(params, *images, labels, train=True)


def test_a_parameters_size_does_not_matter_and_activations_have_a_limit(apply, params):
    labels = np.array([0, 1, 2])
    # Far above what is added to their size.
    one, other = (
        jax.tree.map(lambda leaf, s=scale: s * leaf if leaf.ndim > 1 else leaf, params)
        for scale in (1e3, 1e5)
    )
    np.testing.assert_allclose(apply(one, label=labels), apply(other, label=labels), atol=1e-4)
    wild = jax.tree.map(lambda leaf: 1e6 if leaf.shape == () else leaf, params)
    wild = wild | {"out_gain": params["out_gain"]}
    assert np.isfinite(apply(wild, label=labels)).all()


def test_half_precision_leaves_the_function(network, apply, params, images):
    low = networks.Network(network.module.clone(dtype=jnp.dtype("bfloat16")))
    output = jax.jit(low.apply)(params, *images)
    assert output.dtype == jnp.float32
    expected = apply(label=np.array([5, 5, 5]))
    assert np.linalg.norm(output - expected) < 0.05 * np.linalg.norm(expected)
    u = network.log_variance(params, images[1])
    np.testing.assert_array_equal(low.log_variance(params, images[1]), u)
    assert u.shape == (3,) and u.dtype == jnp.float32 and np.ptp(u) > 0


def test_networks_without_constraints_keep_their_parameters(small):
    params = {"a": jnp.ones(3)}
    assert small().project(params) is params
    assert small().log_variance is None


@pytest.mark.parametrize(
    "options, message",
    [
        ({"label_dropout": 0.1}, "has no labels to drop"),
        ({"res_balance": 1.5}, r"res_balance=1.5 must be a number in \[0, 1\)"),
        ({"dropout": 1.0}, "dropout=1.0 must be a number"),
        ({"channel_mult": 2}, "channel_mult=2 must be a list"),
        ({"dtype": "float16"}, "dtype='float16' is not one of"),
        ({"log_variance_features": 0}, "log_variance_features=0 must be an integer"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        networks.get("edm2", **SMALL | options)


@pytest.mark.parametrize(
    "options, shape, message",
    [
        ({"channels_per_head": 3}, (8, 8, 3), "8 channels do not divide into attention heads of 3"),
        ({"channel_mult": [1, 1]}, (7, 8, 3), "must be divisible by 2, but it is 7x8"),
    ],
)
def test_images_that_do_not_fit_are_refused(options, shape, message):
    with pytest.raises(UsageError, match=message):
        networks.get("edm2", **SMALL | options).parameter_shapes(shape)


def test_labels_need_classes(images):
    network = networks.get("edm2", **SMALL)
    params = network.parameter_shapes((8, 8, 3))
    with pytest.raises(UsageError, match="unconditional but was given labels"):
        jax.eval_shape(lambda p: network.apply(p, *images, {"label": np.zeros(3, int)}), params)
