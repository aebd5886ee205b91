"""OpenAI's U-Nets and classifiers, and score_sde's classifier, against the original ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import guidance, networks, predictions, pretrained, sdes
from scoresde.pretrained import openai, score_sde_classifier
from scoresde.registry import UsageError

UNETS = [
    "adm_unet_scaleshift_updown_class",
    "adm_unet_scaleshift_noupdown",
    "adm_unet_noscaleshift_noupdown_class",
]
POOLS = ["adaptive_plain", "attention", "spatial", "spatial_v2"]


def options_of(case, **changes):
    """The options of our networks for the arguments of guided-diffusion's modules."""
    given = case.config["options"]
    same = ("num_res_blocks", "channel_mult", "use_scale_shift_norm", "resblock_updown")
    return {
        **{name: given[name] for name in same},
        "num_channels": given["model_channels"],
        "attention_resolutions": [
            given["image_size"] // factor for factor in given["attention_resolutions"]
        ],
        "num_heads": given.get("num_heads"),
        "num_head_channels": given.get("num_head_channels"),
        "conv_resample": given.get("conv_resample", True),
        **changes,
    }


def unet_of(case, **changes):
    further = {"num_classes": case.config["options"].get("num_classes"), "outputs_per_channel": 2}
    return networks.get("openai_unet", **options_of(case, **further, **changes))


def encoder_of(case, **changes):
    given = case.config["options"]
    further = {"num_classes": given["out_channels"], "pool": given["pool"]}
    return networks.get("adm_encoder", **options_of(case, **further, **changes))


def wide_resnet_of(case, **changes):
    given = dict(case.config["options"])
    return networks.get("wide_resnet", num_classes=given.pop("num_outputs"), **given, **changes)


def arrays(case):
    """The state dict in float32, in which its float16 is exact."""
    return {name: value.astype(np.float32) for name, value in case.state_dict.items()}


@functools.partial(jax.jit, static_argnums=0)
def run(network, params, x, t, condition):
    return network.apply(params, x, t, condition)


def largest(actual, expected):
    """The largest error over the largest value."""
    return np.max(np.abs(np.asarray(actual) - expected)) / np.max(np.abs(expected))


@pytest.mark.parametrize("name", covering(UNETS, (UNETS[0], UNETS[2])))
def test_unets_are_the_originals_in_both_attention_orders(golden, name):
    case = golden(name)
    labels = case.contents.get("labels")
    condition = None if labels is None else {"label": labels}
    with jax.enable_x64(True):
        network = unet_of(case, dtype="float64")
        for new, words in ((False, ""), (True, "new_attention_order_")):
            params = openai.params_from_openai(arrays(case), network, (8, 8, 3), new)
            x = jnp.asarray(case.images("input"), jnp.float64)
            output = run(network, params, x, case.contents["timesteps"], condition)
            expected = case.images(f"output_f64_{words}".rstrip("_"))
            assert largest(output, expected) < 1e-7  # the original's softmax is in float32
    if name == UNETS[0]:
        network, times = unet_of(case), case.contents["timesteps"]
        output = run(network, params, case.images("input"), times, condition)
        assert largest(output, expected) < 1e-5


def test_low_resolution_is_enlarged_and_seen_beside_x(golden):
    """The other channels of the same U-Net of six; images of a batch do not mix."""
    case, enlarged = golden(UNETS[0]), golden("adm_superres")
    small = {"channel_mult": [1], "attention_resolutions": [], "num_res_blocks": 1}
    options = options_of(case, num_classes=5, outputs_per_channel=2, **small)
    network = networks.get("super_resolution_unet", factor=2, **options)
    module = network.module
    assert network.condition_shapes((8, 8, 3)) == {"low_resolution": (4, 4, 3)}
    assert network.condition_names == {"label", "low_resolution"}
    six = networks.get("openai_unet", **options | {"outputs_per_channel": 1})
    params = six.init(jax.random.key(0), (8, 8, 6))
    params = jax.tree.map(lambda p: p + 0.05 * jnp.sin(jnp.arange(p.size).reshape(p.shape)), params)
    x, t, low = case.images("input"), case.contents["timesteps"], enlarged.images("low_res")
    condition = {"label": case.contents["labels"], "low_resolution": low}
    output = run(network, params, x, t, condition)
    known = np.concatenate([x, enlarged.images("upsampled")], axis=-1)
    expected = run(six, params, known, t, {"label": condition["label"]})
    assert largest(output, expected) < 1e-5
    one = run(network, params, x[1:2], t[1:2], jax.tree.map(lambda rows: rows[1:2], condition))
    assert largest(one, output[1:2]) < 1e-5
    assert jax.tree.map(jnp.shape, network.parameter_shapes((8, 8, 3))) == jax.tree.map(
        jnp.shape, six.parameter_shapes((8, 8, 6))
    )
    for wrong in (None, low[:, :2]):
        with pytest.raises(UsageError, match=r"'low_resolution' must be the images at 1/2"):
            module.apply({"params": params}, x, t, low_resolution=wrong)


def guide(case, network, params, scale=1.0):
    """The logits in the network's type, and what guidance adds to the score."""
    times = case.contents.get("timesteps", case.contents.get("sigmas"))
    classifier = guidance.NoisyClassifier(
        sdes.VE(), network, params, time_input=Itself(), num_classes=network.num_classes
    )
    condition = {"label": case.contents["labels"]}

    def total(x):
        logits = network(params, x, times)
        return scale * jnp.sum(classifier(x, times, condition)), logits

    x = jnp.asarray(case.images("input"), network.module.dtype)
    return tuple(reversed(jax.jit(jax.grad(total, has_aux=True))(x)))


class Itself:
    """The time is what the network is told."""

    def __call__(self, sde, t):
        return t


@pytest.mark.parametrize("pool", covering(POOLS, ["spatial"]))
def test_classifiers_are_the_originals_and_guide_as_they_do(golden, pool):
    case = golden(f"adm_classifier_{pool}")
    with jax.enable_x64(True):
        network = encoder_of(case, dtype="float64")
        params = openai.params_from_openai(arrays(case), network, (8, 8, 3))
        logits, gradient = guide(case, network, params, case.config["scale"])
        assert largest(logits, case.contents["logits_f64"]) < 1e-7  # as above
    assert largest(gradient, case.images("grad_log_prob_times_scale")) < 1e-5


def test_the_wide_resnet_is_the_original_and_guides_as_it_does(golden):
    case = golden("score_sde_wrn_classifier")
    flat = {name.removeprefix("params/"): v for name, v in case.contents.items() if "/" in name}
    tree = {}
    for name, value in flat.items():
        *path, leaf = name.split("/")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = value
    shape = case.images("input").shape[1:]
    with jax.enable_x64(True):
        network = wide_resnet_of(case, dtype="float64")
        params = score_sde_classifier.params_from_score_sde(tree, network, shape)
        logits, gradient = guide(case, network, params)
        assert largest(logits, case.contents["logits_f64"]) < 1e-9
    # At sigma = 50 the angles of the original's Fourier features have 1e-5 of error in float32.
    assert largest(gradient, case.images("grad_log_prob")) < 1e-4


def flags_of(case, **changes):
    given = case.config["options"]
    return {
        "image_size": 8,
        "num_channels": 32,
        "num_res_blocks": 1,
        "channel_mult": "1,2",
        "attention_resolutions": "4",
        "num_head_channels": given["num_head_channels"],
        "resblock_updown": True,
        "class_cond": "True",
        "learn_sigma": True,
        "lr": 1e-4,  # says nothing of the network
        **changes,
    }


def test_flags_of_the_published_script_are_enough(golden):
    case = golden(UNETS[0])
    flags = flags_of(case, diffusion_steps=4000, rescale_timesteps=True)
    model = pretrained.load_openai(arrays(case), flags, num_classes=5)
    assert model.network == unet_of(case) and model.image_shape == (8, 8, 3)
    time_input = predictions.Index(num_scales=4000, scale=0.25)
    assert model.prediction == predictions.Noise(time_input=time_input, learned_variance=True)
    fed = time_input(model.sde, np.float32([0, 1]))
    np.testing.assert_allclose(fed, [0, 999.75])
    assert model.sde == sdes.DiscreteVP(num_scales=4000)
    new = pretrained.load_openai(
        arrays(case), flags | {"use_new_attention_order": "True"}, num_classes=5
    )
    changed = jax.tree.map(lambda a, b: not np.array_equal(a, b), model.params, new.params)
    differ = {
        "/".join(key.key for key in path) for path, it in jax.tree.leaves_with_path(changed) if it
    }
    assert differ and all("AttnBlockpp" in name for name in differ)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num_chanels": 32}, "no flag 'num_chanels'.*num_channels"),
        ({"class_cond": "perhaps"}, "class_cond must be True or False, not 'perhaps'"),
        ({"channel_mult": ""}, "size 8 need the flag channel_mult"),
        ({"noise_schedule": "sqrt"}, "noise_schedule='sqrt' is none of"),
        ({"class_cond": False}, "unexpected label_emb/weight|unexpected class_embedding"),
        ({"resblock_updown": False}, "do not fit the configuration.*missing"),
        ({"learn_sigma": False}, "has shape.*Check the configuration"),
        ({"num_channels": 48}, "levels of 48 channels"),
        ({"num_res_blocks": 1.5}, "num_res_blocks must be an integer, not 1.5"),
        ({"large_size": 8, "small_size": 0}, "large_size=8 must be a multiple of small_size=0"),
    ],
)
def test_wrong_flags_are_refused_in_a_line(golden, changes, message):
    case = golden(UNETS[0])
    with pytest.raises(UsageError, match=message) as caught:
        pretrained.load_openai(arrays(case), flags_of(case, **changes), num_classes=5)
    assert "\n" not in str(caught.value)


def test_what_are_no_flags_is_refused():
    for flags in (["--image_size", "64"], {64: 64}):
        with pytest.raises(UsageError, match="Flags are a mapping of names"):
            pretrained.load_openai({}, flags)


def test_other_files_and_other_networks_are_refused(golden, tmp_path):
    case = golden("edm_adm_edmprecond_cond")
    with pytest.raises(UsageError, match="no state dict of OpenAI's"):
        openai.read(case.state_dict)
    with pytest.raises(UsageError, match="openai_unet, super_resolution_unet and adm_encoder"):
        openai.params_from_openai({}, networks.get("ddpm"), (8, 8, 3))
    unet = arrays(golden(UNETS[0]))
    wrapped = openai.read({"state_dict": {f"module.{name}": v for name, v in unet.items()}})
    assert wrapped.weights.keys() == unet.keys()


def test_a_msgpack_file_of_the_classifier(golden, tmp_path):
    from flax import serialization

    network = networks.get("wide_resnet", num_classes=3, blocks_per_group=1, channel_multiplier=1)
    params = network.init(jax.random.key(0), (32, 32, 3))
    options = {"num_classes": 3, "blocks_per_group": 1, "channel_multiplier": 1}
    trees = {"alone": params, "state": {"params": params, "step": 7}}
    for name, tree in trees.items():
        path = tmp_path / name
        path.write_bytes(serialization.to_bytes(tree))
        model = pretrained.load_score_sde_classifier(path, **options)
        jax.tree.map(np.testing.assert_array_equal, model.params, params)
    assert score_sde_classifier.read(tmp_path / "state").step == 7
    (tmp_path / "other").write_bytes(serialization.to_bytes({"Conv_0": {"bias": np.ones(3)}}))
    with pytest.raises(UsageError, match=r"no classifier of score_sde's.*holds Conv_0"):
        score_sde_classifier.read(tmp_path / "other")
    with pytest.raises(UsageError, match="do not fit"):
        pretrained.load_score_sde_classifier(tmp_path / "alone", num_classes=4)
