"""Images of the condition beside x, and SR3's network against Janspiry's."""

import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import networks
from scoresde.networks import embeddings
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data/golden"
IMAGES = {"observation": 3, "mask": 1, "augmentation": 1}


@pytest.fixture(scope="module")
def seeing(small, randomized):
    """A small network that sees IMAGES, and parameters of which none is zero."""
    network = small(condition_images=IMAGES, scale_by_sigma=False)
    return network, randomized(network)


@pytest.fixture
def condition():
    generator = np.random.default_rng(2)
    return {
        "observation": generator.standard_normal((3, 4, 4, 3), np.float32),
        "mask": (generator.random((3, 8, 8)) > 0.5).astype(np.float32),
        "augmentation": np.array([0.1, 0.5, 0.9], np.float32),
    }


def test_only_the_first_layer_is_wider_and_the_output_is_of_x(small, seeing, images):
    network, _ = seeing
    plain, wide = (
        jax.tree.map(lambda s: s.shape, n.parameter_shapes((8, 8, 3))) for n in (small(), network)
    )
    assert plain.keys() == wide.keys()
    differ = [k for k in plain if plain[k] != wide[k]]
    assert differ == ["Conv_0"] and wide["Conv_0"]["kernel"][2] == 3 + 5
    drawn = network.init(jax.random.key(0), (8, 8, 3))
    assert jax.tree.map(jnp.shape, drawn) == wide


def test_each_sample_is_told_its_own_images(seeing, images, condition):
    network, params = seeing
    x, level = images
    apply = jax.jit(network.apply)
    together = apply(params, x, level, condition)
    assert together.shape == x.shape
    for i in range(3):
        one = {name: value[i : i + 1] for name, value in condition.items()}
        alone = apply(params, x[i : i + 1], level[i : i + 1], one)
        np.testing.assert_allclose(alone[0], together[i], atol=1e-5)
    for name, value in condition.items():  # each of them matters
        other = apply(params, x, level, condition | {name: value[::-1]})
        assert abs(other - together)[jnp.array([0, 2])].max() > 1e-3


def test_images_are_enlarged_bicubically_and_numbers_are_planes(seeing, condition, images):
    network, _ = seeing
    x, _ = images
    large = network._image("observation", 3, condition, x)
    rows = np.asarray(condition["observation"], np.float64)
    for axis in (1, 2):  # Keys' kernel of a = -1/2 at quarters, edges renormalized
        rows = _enlarged(rows, axis)
    np.testing.assert_allclose(large, rows, atol=1e-5)
    plane = network._image("augmentation", 1, condition, x)
    np.testing.assert_array_equal(plane[1], np.full((8, 8, 1), 0.5, np.float32))


def _enlarged(values, axis):
    def kernel(d):
        d = abs(d)
        near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    at = (np.arange(8) + 0.5) / 2 - 0.5
    weights = kernel(at[:, None] - np.arange(4))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)


def test_known_pixels_are_seen_without_noise(small, seeing, images, condition):
    _, params = seeing
    known = small(condition_images=IMAGES, condition_known=True)
    x, level = images
    condition["observation"] = np.ones_like(x)
    noisy = np.where(condition["mask"][..., None] > 0.5, x + 5, x)
    one, other = (known.apply(params, x, level, condition) for x in (x, noisy))
    np.testing.assert_array_equal(one, other)
    assert abs(known.apply(params, x + 5, level, condition) - one).max() > 1e-3


def test_every_family_of_networks_takes_an_image():
    tiny = {"num_channels": 32, "num_res_blocks": 1, "channel_mult": (1,), "num_heads": 1}
    options = {
        "ddpm": {"nf": 32, "ch_mult": (1,), "num_res_blocks": 1, "outputs_per_channel": 2},
        "ncsn": {"nf": 8},
        "song_unet": {"model_channels": 8, "channel_mult": (1,), "num_blocks": 1},
        "adm": {"model_channels": 8, "channel_mult": (1,), "num_blocks": 1},
        "openai_unet": {**tiny, "outputs_per_channel": 2, "num_classes": 4},
    }
    x, level = jnp.zeros((1, 8, 8, 3)), jnp.ones(1)
    for name, chosen in options.items():
        network = networks.get(name, **chosen, condition_images={"gray": 1})
        params = network.parameter_shapes((8, 8, 3))
        told = {"gray": jnp.zeros((1, 8, 8, 1))}
        out = jax.eval_shape(network.apply, params, x, level, told)
        assert out.shape[-1] == 3 * chosen.get("outputs_per_channel", 1), name


def test_what_does_not_fit_is_refused(small, seeing, images):
    network, params = seeing
    x, level = images
    with pytest.raises(UsageError, match="sees an image 'augmentation'"):
        network.apply(params, x, level)
    bad = {"augmentation": np.ones(3), "mask": np.ones((3, 8, 8))}
    for shape, words in (((3, 4, 4, 1), "must be images"), ((3, 16, 16, 3), "no smaller")):
        with pytest.raises(UsageError, match=words):
            network.apply(params, x, level, bad | {"observation": np.ones(shape)})
    with pytest.raises(UsageError, match="condition_known needs"):
        small(condition_images={"mask": 1}, condition_known=True)
    with pytest.raises(UsageError, match="cannot see condition_images"):
        networks.get("wide_resnet", num_classes=2, condition_images={"mask": 1})


def test_embeddings_of_the_noise_level_are_the_published_ones():
    golden = np.load(GOLDEN / "sr3_palette_conditioning.npz")
    levels = jnp.asarray(golden["levels"], jnp.float32)
    ours = embeddings.positional_embedding(levels, 16, endpoint=False)
    np.testing.assert_allclose(ours, golden["sr3_positional_encoding"], atol=1e-6)
    palette = golden["palette_gamma_embedding"]  # [cos, sin]
    np.testing.assert_allclose(ours, np.roll(palette, 8, axis=1), atol=1e-6)


def test_sr3_is_that_of_janspiry():
    arrays = np.load(GOLDEN / "sr3_network.npz")
    given = json.loads((GOLDEN / "sr3_network.json").read_text())["options"]
    network = networks.get(
        "sr3_unet",
        num_channels=given["inner_channel"],
        num_res_blocks=given["res_blocks"],
        channel_mult=given["channel_mults"],
        attention_resolutions=given["attn_res"],
        groups=given["norm_groups"],
        dropout=0.0,
        condition_images={"observation": 3},
    )
    weights = {k[3:]: arrays[k].astype(np.float32) for k in arrays if k.startswith("sd/")}
    params = _sr3_params(weights, network.parameter_shapes((8, 8, 3)))
    noisy, small, output = (
        arrays[f"{name}_nchw"].transpose(0, 2, 3, 1) for name in ("noisy", "condition", "output")
    )
    # There the condition comes first.
    kernel = params["Conv_0"]["kernel"]
    params["Conv_0"]["kernel"] = np.concatenate([kernel[:, :, 3:], kernel[:, :, :3]], axis=2)
    ours = jax.jit(network.apply)(params, noisy, arrays["sqrt_gamma"], {"observation": small})
    np.testing.assert_allclose(ours, output, atol=1e-4)


INNER = {
    "res_block.block1.block.0": "GroupNorm_0",
    "res_block.block1.block.3": "Conv_0",
    "res_block.noise_func.noise_func.0": "Dense_0",
    "res_block.block2.block.0": "GroupNorm_1",
    "res_block.block2.block.3": "Conv_1",
    "res_block.res_conv": "Conv_2",
}


def _sr3_params(weights, expected):
    """Janspiry's state dict, whose modules stand in the order in which they run."""
    params = {name: {} for name in expected}
    names, owner = list(expected), {}
    for name in weights:
        module = re.match(
            r"(noise_level_mlp\.\d|(?:downs|mid|ups)\.\d+(\.attn|\.res_block)?|"
            r"final_conv\.block\.\d)",
            name,
        )[0]
        if module not in owner:
            owner[module] = names[len(owner)]
    assert list(owner.values()) == names
    for name, value in weights.items():
        module = max((m for m in owner if name.startswith(f"{m}.")), key=len)
        target, rest = params[owner[module]], name.removeprefix(f"{module}.")
        if ".attn." in name:
            _attention(target, rest, value)
            continue
        if module.endswith("res_block"):
            inner, _, kind = rest.rpartition(".")
            target, rest = target.setdefault(INNER[f"res_block.{inner}"], {}), kind
        _leaf(target, rest.rpartition(".")[2], value)
    return params


def _leaf(target, kind, value):
    if kind == "bias":
        target["bias"] = value
    elif value.ndim == 1:
        target["scale"] = value
    else:
        target["kernel"] = value.T if value.ndim == 2 else value.transpose(2, 3, 1, 0)


def _attention(target, rest, value):
    part, kind = rest.split(".")
    if part == "norm":
        _leaf(target.setdefault("GroupNorm_0", {}), kind, value)
    elif part == "qkv":
        for i, matrix in enumerate(np.split(value[:, :, 0, 0], 3)):
            target[f"NIN_{i}"] = {"W": matrix.T, "b": np.zeros(len(matrix), np.float32)}
    else:
        leaf = value if kind == "bias" else value[:, :, 0, 0].T
        target.setdefault("NIN_3", {})["b" if kind == "bias" else "W"] = leaf
