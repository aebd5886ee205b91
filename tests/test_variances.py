"""Variances of reverse steps, and the networks that predict one: against improved-diffusion's."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import losses, networks, predictions, sdes, times, variances
from scoresde.denoiser import Denoiser
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.sdes import expand

GOLDEN = np.load(pathlib.Path(__file__).parent / "data" / "golden" / "iddpm_linear_T50.npz")
CHAIN = sdes.DiscreteVP(num_scales=50)
NAMES = {"posterior": "fixed_small", "forward": "fixed_large", "learned": "learned_range"}


def channels_last(name):
    return np.moveaxis(GOLDEN[name], -3, -1)


@pytest.fixture
def fed():
    """x, t and the reading of improved-diffusion's output there, in float64."""
    with jax.enable_x64(True):
        level = GOLDEN["t"]
        x0, noise = (jnp.asarray(channels_last(f"{name}_nchw")) for name in ("x0", "noise"))
        kind, t = predictions.Noise(learned_variance=True), jnp.asarray(level / 49)
        x = CHAIN.perturb(x0, noise, t)
        yield level, t, kind.read(CHAIN, x, t, jnp.asarray(channels_last("output_nchw")))


def test_the_mean_is_read_from_the_first_half_of_the_channels(fed):
    expected = channels_last("f64/p_mean_variance/learned_range/noclip/pred_xstart")
    np.testing.assert_allclose(fed[2].x0, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", variances.VARIANCES)
def test_variances_are_those_of_improved_diffusion(name, fed):
    level, t, prediction = fed
    variance = variances.get(name)
    # Level 0 steps to the clean data, from where level 1 stepped to it.
    before = np.maximum(t, 1 / 49), np.maximum(t, 1 / 49) - 1 / 49
    of_step = jnp.log(variance.of_step(CHAIN, *before, prediction))
    of_decoder = jnp.log(variance.of_decoder(CHAIN, 0.0, 1 / 49, prediction))
    of_step, of_decoder = (expand(value, prediction.x0) for value in (of_step, of_decoder))
    got = np.where(expand(level, prediction.x0) == 0, of_decoder, of_step)
    expected = channels_last(f"f64/p_mean_variance/{NAMES[name]}/clip/log_variance")
    np.testing.assert_allclose(np.broadcast_to(got, expected.shape), expected, rtol=1e-9)


def test_a_learned_variance_lies_between_the_others_by_its_fraction():
    """Also from where no data is left, on a process that keeps no variance."""
    sde, t, s = sdes.RectifiedFlow(), jnp.ones(1), jnp.full(1, 0.4)
    fraction = jnp.linspace(0, 1, 3)[None]
    prediction = Prediction(fraction, fraction, fraction)
    low, high = (
        variances.get(name).of_step(sde, t, s, prediction).item()
        for name in ("posterior", "forward")
    )
    learned = variances.Learned().of_step(sde, t, s, prediction)
    np.testing.assert_allclose(learned[0], [low, np.sqrt(low * high), high], rtol=1e-5)


def test_a_variance_is_refused_where_none_is_predicted():
    x = jnp.ones((1, 2))
    with pytest.raises(UsageError, match="needs a network that predicts one"):
        variances.get("learned").of_step(CHAIN, 1.0, 0.5, Prediction(x, x))
    with pytest.raises(UsageError, match=r"Unknown variance 'lerned'.*Did you mean 'learned'"):
        variances.get("lerned")


@pytest.mark.parametrize("outputs, learned", [(1, True), (2, False)])
def test_outputs_that_the_kind_does_not_read_are_refused(outputs, learned, key):
    """By the denoiser and by the loss: broadcast, they would be read as something else."""
    sde, x = sdes.VP(), jnp.ones((2, 4, 4, 1))
    kind = predictions.Noise(learned_variance=learned)

    def network(params, x, noise_condition, condition, train=False, rng=None):
        return jnp.tile(x, outputs)

    loss = losses.DenoisingScoreMatching(
        sde=sde, prediction=kind, network=network, times=times.Uniform(sde=sde)
    )
    message = (
        rf"must have shape \(2, 4, 4, {kind.outputs_per_channel}\).*has \(2, 4, 4, {outputs}\)"
    )
    for call in (
        lambda: Denoiser(sde, kind, network, None)(x, 0.5),
        lambda: loss(None, key, x),
    ):
        with pytest.raises(UsageError, match=message):
            jax.eval_shape(call)


def test_the_loss_leaves_the_variance_alone(key):
    """The same loss as without one, and no gradient to it."""
    sde, x0 = sdes.VP(), jax.random.normal(key, (6, 4, 4, 2))

    def loss(learned, outputs):
        def network(params, x, noise_condition, condition, train, rng):
            return jnp.concatenate([params[i] * x for i in range(outputs)], axis=-1)

        objective = losses.DenoisingScoreMatching(
            sde=sde,
            prediction=predictions.V(learned_variance=learned),
            network=network,
            times=times.Uniform(sde=sde),
        )
        return jax.jit(jax.value_and_grad(objective))(jnp.array([0.3, 0.7]), key, x0)

    (value, slope), (with_variance, its_slope) = loss(False, 1), loss(True, 2)
    assert value == with_variance and slope[0] == its_slope[0] != 0 and its_slope[1] == 0


@pytest.mark.parametrize(
    "name, options",
    [
        ("ddpm", {"nf": 32, "num_scales": 50}),
        ("ncsnpp", {"nf": 8, "progressive": "output_skip"}),
        ("song_unet", {"model_channels": 8}),
        ("adm", {"model_channels": 32}),
    ],
)
def test_networks_have_more_outputs_a_channel(name, options):
    multiplier = "channel_mult" if name in ("song_unet", "adm") else "ch_mult"
    blocks = "num_blocks" if name in ("song_unet", "adm") else "num_res_blocks"
    small = {multiplier: (1,), blocks: 1, "attn_resolutions": (), "dropout": 0.0}
    network = networks.get(name, outputs_per_channel=2, **small, **options)
    x, level = jnp.ones((1, 4, 4, 3)), jnp.full(1, 0.5)
    params = jax.eval_shape(lambda: network.init(jax.random.key(0), (4, 4, 3)))
    assert jax.eval_shape(network, params, x, level).shape == (1, 4, 4, 6)
    with pytest.raises(UsageError, match="outputs_per_channel=0"):
        networks.get(name, outputs_per_channel=0, **small, **options)


def test_only_the_score_is_divided_by_sigma():
    """Every parameter one: both outputs of a channel are the same before the division."""
    options = {"nf": 4, "ch_mult": (1,), "num_res_blocks": 1, "attn_resolutions": ()}
    network = networks.get("ncsnpp", outputs_per_channel=2, dropout=0.0, **options)
    shapes = network.parameter_shapes((4, 4, 1))
    params = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), shapes)
    x = jnp.linspace(0, 1, 16).reshape(1, 4, 4, 1)
    output = jax.jit(network.apply)(params, x, jnp.full(1, 0.5))
    np.testing.assert_allclose(output[..., 0], output[..., 1] / 0.5, rtol=1e-5)
    assert jnp.abs(output).max() > 0.01
