"""SongUNet and ADM: sizes, what conditions them, and refusals. Outputs: tests/pretrained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import networks
from scoresde.networks import attention
from scoresde.registry import UsageError

SMALL = {
    "song_unet": {"model_channels": 8, "channel_mult": [1], "num_blocks": 1, "dropout": 0.0},
    "adm": {
        "model_channels": 8,
        "channel_mult": [1],
        "num_blocks": 1,
        "dropout": 0.0,
        "channels_per_head": 4,
        "attn_resolutions": [8],
    },
}


@pytest.fixture(scope="module", params=SMALL)
def conditioned(request, randomized, images):
    """A network of five classes and two augmentation labels: apply(**condition) -> output."""
    network = networks.get(request.param, **SMALL[request.param], label_dim=5, augment_dim=2)
    params = randomized(network)
    apply = jax.jit(network.apply)
    return network, lambda **condition: apply(params, *images, condition)


def test_labels_and_augmentations_condition_and_may_be_left_out(conditioned):
    _, apply = conditioned
    plain = apply()
    nothing, a_class, augmented = range(3)
    output = apply(label=np.array([5, 2, 5]), augment_labels=np.float32([[0, 0], [0, 0], [1, 1]]))
    np.testing.assert_allclose(output[nothing], plain[nothing], rtol=1e-5, atol=1e-6)
    for sample in (a_class, augmented):
        change = jnp.linalg.norm(output[sample] - plain[sample]) / jnp.linalg.norm(plain[sample])
        assert change > 1e-2


def test_options_of_computation_leave_the_function(conditioned, randomized, images):
    network, apply = conditioned
    expected = apply()
    low = networks.Network(network.module.clone(dtype=jnp.dtype("bfloat16")))
    params = randomized(low)
    output = jax.jit(low.apply)(params, *images)
    assert output.dtype == jnp.float32
    assert jnp.linalg.norm(output - expected) < 0.03 * jnp.linalg.norm(expected)
    # What rematerialization leaves of a block's gradient: test_ncsnpp.py.
    remat = networks.Network(network.module.clone(remat=True))
    assert jax.tree.structure(randomized(remat)) == jax.tree.structure(params)


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("song_unet", {"encoder_type": "none"}, "encoder_type='none' is not one of 'standard'"),
        ("song_unet", {"label_dim": -1}, "label_dim=-1 must be an integer of at least 0"),
        ("song_unet", {"label_dropout": 0.1}, "has no labels to drop"),
        ("song_unet", {"resample_filter": [1, 2, 1]}, "symmetric and of even length"),
        ("song_unet", {"resample_filter": [1, 2]}, "symmetric and of even length"),
        ("song_unet", {"channel_mult_noise": 1, "model_channels": 5}, "even width, not 5"),
        ("adm", {"dtype": "float64"}, "dtype='float64' needs jax_enable_x64"),
        ("adm", {"model_channels": 0}, "model_channels=0 must be an integer"),
        ("adm", {"channel_mult": 2}, "channel_mult=2 must be a list"),
    ],
)
def test_wrong_options_are_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        networks.get(name, **options)


@pytest.mark.parametrize("channels, heads", [(32, 0), (96, 1), (160, 2)])
def test_heads_have_at_least_their_channels(monkeypatch, channels, heads):
    """EDM's rule: a map of fewer channels than a head needs has no attention."""
    shapes = []
    monkeypatch.setattr(
        attention, "attend", lambda query, *_: shapes.append(query.shape[2:]) or query
    )
    network = networks.get("adm", model_channels=channels, channel_mult=[1], num_blocks=1)
    params = network.parameter_shapes((4, 4, 3))
    assert ("AttnBlockpp_0" in params) == (heads > 0)
    assert set(shapes) == ({(heads, channels // heads)} if heads else set())


def test_channels_must_divide_into_heads():
    with pytest.raises(UsageError, match="224 channels do not divide into 3 heads"):
        networks.get("adm", model_channels=224).parameter_shapes((8, 8, 3))
