"""DINOv2's features against the original code's and transformers'."""

import json

import jax
import numpy as np
import pytest
from random_numbers import DATA, case, golden, largest_error, uniform

from scoresde.metrics import dinov2
from scoresde.networks.vision_transformer import interpolation
from scoresde.pretrained import array_file
from scoresde.registry import UsageError

FILE = DATA / "dinov2_b_original.safetensors"
CONFIG = json.loads((DATA / "dinov2_b.json").read_text())
EXPECTED = golden("dinov2.npz")


def pixels(size):
    height, width = map(int, size.split("x"))
    shape = (2, 3, height, width)
    return 4 * uniform(f"0/dinopix/{size}", shape).astype(np.float32) - 2


def by_hugging_faces_names(state_dict):
    """The same weights by the names of transformers' files, with the MLP's and the norms' alike."""
    renamed = {}
    for name, value in state_dict.items():
        for old, new in (
            ("blocks.", "encoder.layer."),
            ("attn.proj", "attention.output.dense"),
            ("ls1.gamma", "layer_scale1.lambda1"),
            ("ls2.gamma", "layer_scale2.lambda1"),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("pos_embed", "embeddings.position_embeddings"),
            ("_token", "_token"),
        ):
            name = name.replace(old, new)
        if name.endswith("_token"):
            name = f"embeddings.{name}"
        if name.startswith("norm."):
            name = f"layer{name}"
        if "attn.qkv" in name:
            parts = zip(("query", "key", "value"), np.split(value, 3), strict=True)
            new = {name.replace("attn.qkv", f"attention.attention.{p}"): v for p, v in parts}
            renamed |= new
        else:
            renamed[name] = value
    return renamed


@pytest.fixture(scope="module")
def params():
    return dinov2.load(FILE)


@pytest.mark.parametrize("size", ["70x70", "56x56", "42x84"])
@pytest.mark.parametrize(("positions", "tool"), [("original", "original"), ("huggingface", "hf")])
def test_the_class_token_is_that_of_both_codes(size, positions, tool, params):
    found = dinov2.features(params, CONFIG, pixels(size), positions)
    assert found.dtype == np.float32
    assert largest_error(found, EXPECTED[f"b/cls_{tool}_{size}"]) < 1e-5


def test_it_is_the_original_codes_unless_asked_for_and_takes_either_order_of_axes(params):
    x = pixels("42x84")
    found = dinov2.features(params, CONFIG, x)
    np.testing.assert_array_equal(found, dinov2.features(params, CONFIG, x, "original"))
    assert largest_error(found, EXPECTED["b/cls_hf_42x84"]) > 1e-3
    np.testing.assert_array_equal(
        found, dinov2.features(params, CONFIG, np.moveaxis(x, 1, 3), "original")
    )


def test_both_layouts_of_files_hold_the_same_parameters(params):
    original = array_file.read(FILE)
    loaded = dinov2.load(by_hugging_faces_names(original))
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, params))
    x = pixels("56x56")
    by_names = dinov2.features(original, CONFIG, x)
    np.testing.assert_array_equal(by_names, dinov2.features(params, CONFIG, x))


def test_a_batch_is_its_images_one_by_one(params):
    x = pixels("70x70")
    together, alone = (dinov2.features(params, CONFIG, part) for part in (x, x[:1]))
    assert largest_error(alone, together[:1]) < 1e-5


def test_no_product_is_left_to_a_lesser_precision(params):
    x = jax.ShapeDtypeStruct((1, 56, 56, 3), np.float32)
    program = str(jax.make_jaxpr(lambda p, x: dinov2.features(p, CONFIG, x))(params, x))
    assert program.count("dot_general[") > 6 * CONFIG["num_hidden_layers"]
    assert "precision=None" not in program


def test_interpolated_positions_of_a_constant_are_that_constant():
    for size, offset in ((16, 0.1), (16, 0), (37, 0), (50, 0.1), (1, 0)):
        np.testing.assert_allclose(interpolation(37, size, offset).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(interpolation(37, 37, 0), np.eye(37))


@pytest.mark.parametrize("mode", dinov2.PREPROCESSES)
def test_preprocessing_normalizes_what_was_resized(mode):
    """The resizes themselves: see test_resize.py."""
    images = case("noise_32x32")
    x = dinov2.preprocess(images, mode)
    assert x.shape == (1, 224, 224, 3) and x.dtype == np.float32
    if mode == "edm2":
        file = golden("resize_224.npz")
        rows, expected = file["index_224"], file["noise_32x32/edm2"]
        np.testing.assert_allclose(np.asarray(x)[0][rows][:, rows], expected, atol=1e-3)
    else:
        levels = 255 * (np.asarray(x) * np.array(dinov2.STD) + np.array(dinov2.MEAN))
        np.testing.assert_allclose(levels, levels.round(), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"norm.bias": None}, r"1 missing \(norm.bias\)"),
        ({"register_tokens": np.zeros((1, 4, 24))}, "unexpected.*with registers are others"),
        ({"pos_embed": np.zeros((1, 27, 24))}, r"another shape \(pos_embed \[1, 27, 24\] for"),
        ({"cls_token": None}, "there is no cls_token or embeddings.cls_token"),
        ({"blocks.7.norm1.bias": np.zeros(24)}, "missing"),
    ],
)
def test_other_weights_are_refused_in_one_line(change, said):
    state_dict = array_file.read(FILE) | change
    state_dict = {name: value for name, value in state_dict.items() if value is not None}
    with pytest.raises(UsageError, match=said) as caught:
        dinov2.load(state_dict)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (dinov2.VIT_L14, "hidden_size 24, not 1024, num_hidden_layers 3, not 24"),
        ({"hidden_size": 24}, "has no num_hidden_layers, num_attention_heads"),
        (CONFIG | {"use_swiglu_ffn": True}, "not ViT-g/14"),
        (CONFIG | {"num_attention_heads": 5}, "5 heads cannot share 24 channels"),
        ("dinov2_b.json", "is a dict"),
    ],
)
def test_a_configuration_of_another_network_is_refused(config, said, params):
    with pytest.raises(UsageError, match=said):
        dinov2.features(params, config, pixels("56x56"))


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((1, 56, 56, 3), np.uint8), r"real numbers, got uint8: dinov2.preprocess"),
        (np.zeros((1, 55, 56, 3), np.float32), r"multiples of 14, got \[1, 55, 56, 3\]"),
        (np.zeros((56, 56, 3), np.float32), r"got \[56, 56, 3\]"),
        (np.zeros((1, 56, 56, 1), np.float32), r"got \[1, 56, 56, 1\]"),
    ],
)
def test_pixels_are_normalized_and_of_whole_patches(x, said, params):
    with pytest.raises(UsageError, match=said):
        dinov2.features(params, CONFIG, x)
