"""Configs become experiments; mistakes in them become one clear line."""

import importlib
import json
import pathlib
import sys

import jax
import ml_collections
import pytest

from scoresde import build
from scoresde.registry import UsageError

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted(
    str(path.relative_to(ROOT / "configs").with_suffix(""))
    for path in (ROOT / "configs").glob("*/**/*.py")
)


def load(name):
    sys.path.insert(0, str(ROOT))
    try:
        return importlib.import_module("configs." + name.replace("/", ".")).get_config()
    finally:
        sys.path.remove(str(ROOT))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_builds_and_its_network_takes_the_images(name):
    experiment = build.experiment(load(name))
    height, width, channels = experiment.image_shape
    image = jax.ShapeDtypeStruct((2, height, width, channels), "float32")
    time = jax.ShapeDtypeStruct((2,), "float32")

    def predict(x, t):
        params = experiment.network.init(jax.random.key(0), experiment.image_shape)
        return experiment.denoiser(params)(x, t)

    prediction = jax.eval_shape(predict, image, time)
    assert prediction.x0.shape == image.shape and prediction.noise.shape == image.shape


@pytest.mark.parametrize(
    "name, count",
    [
        ("vp/cifar10_ddpmpp_continuous", 61_804_419),
        ("subvp/cifar10_ddpmpp_continuous", 61_804_419),
        ("ve/cifar10_ncsnpp_continuous", 62_758_915),
    ],
)
def test_published_parameter_counts(name, count):
    experiment = build.experiment(load(name))
    shapes = experiment.network.parameter_shapes(experiment.image_shape)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


def test_a_config_survives_json():
    config = load("vp/digits")
    again = ml_collections.ConfigDict(json.loads(config.to_json()))
    assert build.experiment(again).network == build.experiment(config).network


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
        ({"loss__weigthing": "noise"}, "Unknown key config.loss.weigthing"),
        ({"loss__reduction": "sum"}, "Unknown loss reduction"),
        ({"loss__times__name": "beta"}, "Unknown time distribution"),
        ({"optimizer__name": "adamm"}, "Unknown optimizer"),
        ({"training__epochs": 3}, "Unknown key config.training.epochs"),
        ({"training__batch_size": 0}, "batch_size must be at least 1"),
        ({"training__num_steps": None}, "lacks config.training.num_steps"),
        ({"sampler__name": "heunn"}, "Unknown sampler"),
        ({"sampler__steps": 0}, "positive number of steps"),
        ({"sampler__grid": "cosine"}, "Unknown time grid"),
        ({"likelihood__probs": 3}, "Unknown key config.likelihood.probs"),
        ({"data__source__name": "mnistt"}, "Unknown data source"),
        ({"data__image_shape": (8, 8)}, "image_shape"),
        ({"data__data_range": (1.0, 1.0)}, "data_range"),
        ({"sedd": 3}, "Unknown key config.sedd"),
        ({"sde": None}, "lacks config.sde"),
        ({"sde": {"name": "rectified_flow"}}, "nothing of the data is left"),
        ({"sde__name": "no.such.module:SDE"}, "cannot import"),
        ({"sde__name": "scoresde.sdes:VQ"}, "has no 'VQ'"),
    ],
)
def test_mistakes(changes, message):
    with pytest.raises(UsageError, match=message) as error:
        build.experiment(changed(**changes))
    assert "\n" not in str(error.value)


def test_images_of_another_shape():
    experiment = build.experiment(changed(data__image_shape=(16, 16, 1)))
    with pytest.raises(UsageError, match=r"\(8, 8, 1\).*image_shape is \(16, 16, 1\)"):
        _ = experiment.source


def test_a_component_of_ones_own():
    config = changed(sde__name="scoresde.sdes:SubVP")
    assert type(build.experiment(config).sde).__name__ == "SubVP"
