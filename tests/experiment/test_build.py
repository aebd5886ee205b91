"""Configs become experiments; mistakes in them become one clear line."""

import importlib
import pathlib
import sys

import jax
import jax.numpy as jnp
import pytest

from scoresde import runs
from scoresde.experiment import build
from scoresde.registry import UsageError

ROOT = pathlib.Path(__file__).parent.parent.parent


def load(name):
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("configs." + name.replace("/", ".")).get_config()
    finally:
        sys.path.remove(str(ROOT))


def changed(**changes):
    config = load("vp/digits").unlock()
    for path, value in changes.items():
        section, _, key = path.rpartition("__")
        target = config
        for part in section.split("__") if section else []:
            target = target[part]
        if value is None:
            del target[key]
        else:
            target[key] = value
    return config


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sde__name": "vpp"}, "Unknown SDE 'vpp'.*Did you mean 'vp'"),
        ({"sde__beta_mx": 10.0}, "no option 'beta_mx'.*Did you mean 'beta_max'"),
        ({"prediction__name": "epsilon"}, "Unknown prediction"),
        ({"prediction__time_input": "frequency"}, "Unknown time input"),
        ({"network__name": "unet"}, "Unknown network"),
        ({"network__nff": 3}, "no option 'nff'"),
        ({"network__centered": False}, "data_range"),
        ({"loss__weighting__name": "elbo"}, "Unknown weighting"),
        ({"loss__weigthing": "noise"}, "no option 'weigthing'.*Did you mean 'weighting'"),
        ({"loss__reduction": "sum"}, "Unknown loss reduction"),
        ({"loss__times__name": "beta"}, "Unknown time distribution"),
        ({"loss__times": {"name": "discrete", "num_scales": 1}}, "num_scales of 2 or more"),
        ({"loss__times": {"name": "uniform", "t_min": 2.0}}, r"Training times \[2.0, 1.0\]"),
        ({"optimizer__name": "adamm"}, "Unknown optimizer"),
        ({"optimizer": {"name": "adafactor", "beta1": 0.9}}, "'adafactor' has no option 'beta1'"),
        ({"optimizer": {"name": "sophia"}}, "The optimizer 'sophia' cannot be used like this"),
        ({"training__epochs": 3}, "Unknown key config.training.epochs"),
        ({"training__batch_size": 0}, "batch_size must be at least 1"),
        ({"training__num_steps": None}, "lacks config.training.num_steps"),
        ({"sampler__name": "heunn"}, "Unknown sampler"),
        ({"sampler__steps": 0}, "positive number of steps"),
        ({"sampler__steps": 10**99}, "positive number of steps"),
        ({"likelihood__t_min": 5.0}, "VP needs 0 <= t_min < t_max"),
        ({"sde": {"name": "scoresde.sdes:LearnedVP"}}, "needs the option 'ends'"),
        ({"sampler__grid": "cosine"}, "Unknown time grid"),
        ({"likelihood__rtol": -1.0}, "rtol must be positive"),
        ({"likelihood__method": "rk4"}, "Unknown ODE method"),
        ({"likelihood__trace": "exakt"}, "Unknown trace"),
        ({"training__ema_rate": 2.0}, "EMA rate"),
        ({"training__ema_half_life": 1e5}, "place of ema_rate, which is 0.995: give one of them"),
        ({"loss__augmentation": "geometry"}, "Unknown augmentation 'geometry'"),
        ({"loss__augmentation": {"probability": 0.1}}, "loss.augmentation must be a name, or"),
        ({"loss__augmentation": "geometric"}, "with config.network.augment_dim=9, not 0"),
        ({"training__max_skipped_in_a_row": -1}, "max_skipped_in_a_row must be at least 0"),
        ({"training__ema_warmup": "slow"}, "Unknown EMA warm-up"),
        ({"training__averages": {"slow": {"name": "emo"}}}, "Unknown average 'emo'.* mean 'ema'"),
        ({"training__averages": {"slow": {"rate": 0.9}}}, "averages.slow must be a name, or"),
        (
            {"training__averages": {"ema": {"name": "ema", "rate": 0.9}}},
            "averages.ema is there twice",
        ),
        ({"training__snapshot_every": 5}, "power-function averages, and there is none"),
        ({"training__snapshot_dtype": "int8"}, "snapshot_dtype is one of float32, float16"),
        (
            {"training__averages": {"wide": {"name": "power", "length": 0.3}}},
            "up to 0.2886",
        ),
        ({"loss__objective": "uncertainty"}, "says how uncertain it is, by log_variance"),
        ({"optimizer__schedule": "inverse_sqrt"}, "decay_steps.*needs it"),
        ({"training__log_every": 0}, "log_every must be at least 1"),
        ({"training__sample_every": -1}, "training.sample_every must be at least 0, got -1"),
        ({"training__keep": 0}, "training.keep must be at least 1"),
        ({"likelihood__batch_size": 0}, "likelihood.batch_size must be at least 1"),
        ({"seed": -1}, "seed must be 0"),
        ({"dequantizer__network__name": "abc"}, "Unknown network 'abc'"),
        ({"dequantizer__filters": 32}, "Unknown key config.dequantizer.filters"),
        ({"dequantizer__network__filter": 32}, "no option 'filter'.*Did you mean 'filters'"),
        ({"dequantizer__optimizer__name": "adamm"}, "Unknown optimizer"),
        ({"dequantizer__num_steps": 0}, "config.dequantizer.num_steps must be at least 1"),
        ({"likelihood__probs": 3}, "Unknown key config.likelihood.probs"),
        ({"data__source__name": "mnistt"}, "Unknown data source"),
        ({"data__image_shape": (8, 8)}, r"image_shape must be \(height, width, channels\)"),
        ({"data__condition": ("mask",)}, "feeds 'mask' to a network that does not take it"),
        ({"network__condition_images": {"gray": 1}}, "'gray' beside x, which nothing gives it"),
        ({"network__condition_images": 3}, "channels of each image by its name"),
        ({"loss__unknown_only": True}, "unknown_only is of a condition with masks"),
        ({"data__codec": {"name": "images", "dequantize": False}}, "give one of them"),
        ({"data__codec": "identity"}, "identity' has no dequantize"),
        (
            {"sampler__name": "ancestral_sampling", "sampler__variance": "learned"},
            "'learned', and the network predicts none",
        ),
        ({"sampler__clip": (-1.0, float("inf"))}, "clip is the range of the data"),
        ({"sampler__lower_order_final": "no"}, "lower_order_final must be True or False"),
        ({"data__data_range": (1.0,)}, r"data_range must be \(low, high\)"),
        ({"data__data_range": (1.0, 1.0)}, "data_range"),
        ({"sedd": 3}, "Unknown key config.sedd"),
        ({"sde": None}, "lacks config.sde"),
        ({"sde": {"name": "rectified_flow"}}, "nothing of the data is left"),
        ({"sde__name": "no.such.module:SDE"}, "cannot import"),
        ({"sde__name": "scoresde.sdes:VQ"}, "has no 'VQ'"),
        ({"sde__name": "scoresde.sdes:__name__"}, "is no class or function"),
    ],
)
def test_a_config_that_cannot_be_built_is_one_line(changes, message):
    with pytest.raises(UsageError, match=message) as error:
        build(changed(**changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("seed", "a", "config.seed must be an integer, not 'a'"),
        ("training.num_steps", None, "training.num_steps must be an integer, not None"),
        ("training.num_steps", 1e3, "must be an integer"),
        ("training.batch_size", True, "must be an integer"),
        ("training.ema_rate", "a", "training.ema_rate must be a number"),
        ("data.flip", 1, "data.flip must be True or False"),
        ("data.image_shape", 8, "data.image_shape must be a tuple"),
        ("likelihood.probes", None, "likelihood.probes must be an integer"),
        ("optimizer.learning_rate", None, "must be numbers"),
        ("training", "long", "config.training must be a section"),
    ],
)
def test_values_of_another_type_are_refused_by_key(path, value, message):
    config = load("vp/digits").to_dict()
    *names, key = path.split(".")
    section = config
    for name in names:
        section = section[name]
    section[key] = value
    with pytest.raises(UsageError, match=message):
        build(config)


def test_an_augmentation_is_told_to_the_network_and_moves_nothing_else():
    config = load("edm/cifar10_ddpmpp_uncond")
    config.network.augment_dim = 6
    with pytest.raises(UsageError, match="augment_dim=9, not 6"):
        build(config)
    config = load("edm/cifar10_ddpmpp_uncond")
    config.data.condition_from = {"name": "super_resolution", "factor": 2}
    config.network.condition_images = {"observation": 3}
    with pytest.raises(UsageError, match="makes of it: leave out"):
        build(config)


def test_images_of_another_shape_than_the_configs_are_refused():
    experiment = build(changed(data__image_shape=(16, 16, 1)))
    with pytest.raises(UsageError, match=r"\(8, 8, 1\).*image_shape is \(16, 16, 1\)"):
        _ = experiment.source


def test_a_component_of_ones_own_is_reached_by_its_module():
    config = changed(sde__name="scoresde.sdes:SubVP")
    assert type(build(config).sde).__name__ == "SubVP"


def test_a_module_of_ones_own_that_fails_when_imported_is_one_line(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_broken_sde.py").write_text("class Mine(:\n")
    with pytest.raises(UsageError, match="'my_broken_sde' fails when imported, SyntaxError"):
        build(changed(sde__name="my_broken_sde:Mine"))


def test_a_learned_schedule_is_trained_beside_its_network():
    config = load("vdm/digits")
    config.network.update({"nf": 8, "ch_mult": (1,), "attn_resolutions": ()})
    experiment = build(config)
    params = experiment.init(jax.random.key(0))
    assert set(params) == {"network", "sde"}
    batch = {"image": experiment.source.splits["train"].images[:16]}

    def loss(params):
        return experiment.loss_fn()(params, jax.random.key(1), batch)[0]

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    assert jnp.isfinite(value)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient["sde"]))
    params["sde"]["ends"] = jnp.array([-6.0, 3.0])
    assert experiment.denoiser(params).sde.log_snr(0.0) == 6.0


def test_a_learned_schedule_needs_its_objective():
    config = load("vdm/digits")
    config.loss = load("vp/digits").loss
    with pytest.raises(UsageError, match="objective"):
        build(config)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"network__num_classes": 10}, "has 10 classes and is never told one: .*data.labels=True"),
        ({"network": {"name": "adm", "label_dim": 3}}, "has 3 classes and is never told one"),
    ],
)
def test_classes_that_are_never_fed_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        build(changed(**changes))


def test_a_network_trained_without_some_labels_may_be_used_without_but_not_trained(tmp_path):
    config = changed(network__num_classes=10, network__label_dropout=0.1)
    assert build(config).condition == ()
    with pytest.raises(UsageError, match="training would never tell it one"):
        runs.train(config, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_network_of_fewer_classes_than_the_data_is_refused_with_the_data():
    experiment = build(changed(data__labels=True, network__num_classes=9))
    with pytest.raises(UsageError, match="have 10 classes and the network knows 9") as error:
        _ = experiment.source
    assert "\n" not in str(error.value)
    for classes in (10, 11):
        assert build(changed(data__labels=True, network__num_classes=classes)).source


def test_data_without_classes_cannot_be_fed_with_them():
    config = changed(data__labels=True, network__num_classes=10, data__image_shape=(2, 2, 1))
    config.data.source = {"name": "tiny_model:source"}
    with pytest.raises(UsageError, match="'tiny' has none: leave it out"):
        _ = build(config).source
