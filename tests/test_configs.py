"""The experiments: each is what was published, and its network is the published size.

tests/data/experiments.csv holds what score_sde and score_flow configured (`largest` is beta_max or
sigma_max), without their mistakes: `ve/ncsn/celeba` names its process, and `ve/ncsnv2/bedroom` is
trained at discrete times.
"""

import csv
import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest
from covering import covering
from released_models import RELEASED

from scoresde import losses, networks, times
from scoresde.experiment import build, load_config
from scoresde.pretrained.openai_flags import read_flags
from scoresde.published import CONFIGS

ROOT = pathlib.Path(__file__).parent.parent
NAMES = list(CONFIGS.files())
with open(ROOT / "tests/data/experiments.csv") as file:
    PUBLISHED = list(csv.DictReader(file))
EDM_PARAMETERS = {"ddpmpp_uncond": 55_733_891, "ncsnpp_cond": 56_400_643 + 128}


# Channels, millions of parameters, learning rate and dropout by the name of the config.
EDM2 = {
    "imagenet512_xxs": (64, 31.3, 0.017, 0.0),
    "imagenet512_xs": (128, 124.7, 0.012, 0.0),
    "imagenet512_s": (192, 280.2, 0.01, 0.0),
    "imagenet512_m": (256, 497.8, 0.009, 0.1),
    "imagenet512_l": (320, 777.5, 0.008, 0.1),
    "imagenet512_xl": (384, 1119.3, 0.007, 0.1),
    "imagenet512_xxl": (448, 1523.2, 0.0065, 0.1),
    "imagenet64_s": (192, 280.2, 0.01, 0.0),
    "imagenet64_m": (256, 497.8, 0.009, 0.1),
    "imagenet64_l": (320, 777.5, 0.008, 0.1),
    "imagenet64_xl": (384, 1119.3, 0.007, 0.1),
}


@functools.cache
def load(name):
    """A config and its experiment."""
    config = load_config(name)
    return config, build(config)


@functools.cache
def traced(network, image_shape):
    """The number of parameters, and the output's shape for one image."""

    def run(key, x, noise_condition):
        output, variables = network.module.init_with_output(key, x, noise_condition)
        return output, variables["params"]

    x = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    condition = jax.ShapeDtypeStruct((1,), jnp.float32)
    output, params = jax.eval_shape(run, jax.random.key(0), x, condition)
    return sum(leaf.size for leaf in jax.tree.leaves(params)), output.shape


def size(experiment):
    """`traced`, once for all networks that differ in what has no shape."""
    module = experiment.network.module
    same = {"dropout": 0.0, "sigma_max": 50.0, "scale_by_sigma": False, "centered": True}
    same = {name: value for name, value in same.items() if hasattr(module, name)}
    return traced(networks.Network(module.clone(**same)), experiment.image_shape)


# Of each family of networks; the others differ in their widths.
SIZES = {"edm2/imagenet512_xs", "edm2/imagenet64_s", "adm/imagenet64", "adm/classifier64"}
SIZES |= {"adm/upsample_64_256", "improved_diffusion/cifar10_hybrid"}
# Networks that are those of other configs, wider or deeper.
LIKE_OTHERS = {"ve/bedroom_ncsnpp_continuous", "ve/celebahq_ncsnpp_continuous", "ve/ncsn/celeba"}
LIKE_OTHERS |= {"ve/ncsn/celeba_124", "ve/ncsn/cifar10_124", "improved_diffusion/lsun_bedroom"}
LIKE_OTHERS |= {"subvp/cifar10_ncsnpp_deep_continuous", "edm/cifar10_ncsnpp_uncond"}
LIKE_OTHERS |= {"score_flow/subvp/cifar10_ddpmpp_deep_continuous"}


def has_a_network_of_its_own(name):
    large = "imagenet" in name or "adm/" in name
    return name in SIZES or not (large or name in LIKE_OTHERS)


@pytest.mark.parametrize(
    "name",
    covering(NAMES, has_a_network_of_its_own),
)
def test_the_network_takes_the_images_and_the_process_reads_it(name):
    config, experiment = load(name)
    *places, channels = experiment.image_shape
    outputs = (*places, channels * experiment.prediction.outputs_per_channel)
    if experiment.trains_classifier:
        outputs = (experiment.network.num_classes,)
    count, output_shape = size(experiment)
    assert output_shape == (1, *outputs)
    assert count == RELEASED.get(name, (count,))[0]
    sde, prediction = experiment.sde, experiment.prediction
    t = jnp.linspace(sde.t_min, sde.t_max, 3)
    x = np.ones((3, 2, 2, 1), np.float32)
    inputs, condition = prediction.inputs(sde, x, t)
    assert inputs.shape == x.shape and np.isfinite(condition).all()
    output = np.concatenate([x] * prediction.outputs_per_channel, axis=-1)
    read = prediction.read(sde, x, t, output)
    for part in (read.x0, read.noise):
        assert part.shape == x.shape and np.isfinite(part).all()
    again = ml_collections.ConfigDict(json.loads(config.to_json()))
    assert networks.get(**again.network.to_dict()) == experiment.network


def test_every_published_experiment_is_there():
    bundled = ("digits", "emoji32")
    ours = {name for name in NAMES if not name.rpartition("/")[2].startswith(bundled)}
    assert ours == {row["config"] for row in PUBLISHED} | {
        f"edm/cifar10_{network}_{labels}"
        for network in ("ddpmpp", "ncsnpp")
        for labels in ("cond", "uncond")
    } | set(RELEASED) | {f"edm2/{name}" for name in EDM2}


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["config"])
def test_the_experiment_is_the_published_one(row):
    published = {key: _number(value) for key, value in row.items()}
    config, experiment = load(row["config"])
    num_scales, continuous = published["num_scales"], published["continuous"]
    assert size(experiment)[0] == published["parameters"]
    assert experiment.image_shape == (published["size"], published["size"], 3)
    assert experiment.codec_without_data.data_range == (
        (-1, 1) if published["centered"] else (0, 1)
    )
    assert config.network.centered == published["centered"]
    if "dropout" in config.network:
        assert config.network.dropout == published["dropout"]

    name = "discrete_vp" if published["sde"] == "vp" and not continuous else published["sde"]
    assert config.sde.name == name
    range_max = config.sde.sigma_max if name == "ve" else config.sde.beta_max
    assert range_max == published["largest"]
    assert (config.sde.sigma_min == 0.01) if name == "ve" else (config.sde.beta_min == 0.1)

    for key in ("batch_size", "num_steps", "ema_rate"):
        assert config.training[key] == published[key]
    for key in ("learning_rate", "warmup"):
        assert config.optimizer[key] == published[key]
    assert (config.optimizer.gradient_clip or -1) == published["gradient_clip"]
    assert config.loss.reduction == published["reduction"]

    sampler = config.sampler
    if published["predictor"] == "ode":
        assert sampler.name == "probability_flow"
    else:
        assert sampler.steps == num_scales - 1
        denoise = "none" if published["predictor"] == "none" else "last_mean"
        assert sampler.denoise == denoise
        if published["corrector"] == "none":
            assert sampler.name == published["predictor"]
        else:
            for key in ("predictor", "corrector", "snr", "corrector_steps"):
                assert sampler[key] == published[key]
    if published["predictor"] == "ancestral_sampling":
        assert sampler.variance == "forward"
    if published["corrector"] == "langevin":
        assert sampler.norm == "batch"

    if continuous:
        assert experiment.sampling.t_min == published["sample_t_min"]
        low = config.loss.times.get("t_min", experiment.sde.t_min)
        assert low == config.likelihood.t_min == published["train_t_min"]
    else:
        _visits_the_levels(config, experiment, num_scales)


def _visits_the_levels(config, experiment, num_scales):
    """Training and sampling both know the levels, and no other times."""
    assert config.loss.times.num_scales == config.prediction.time_input.num_scales == num_scales
    sampling = experiment.sampling
    times = sampling.sampler.times(experiment.sde, sampling.steps, sampling.grid)
    _, index = experiment.prediction.inputs(experiment.sde, times, times)
    order = np.arange(num_scales) if config.sde.name == "ve" else np.arange(num_scales)[::-1]
    np.testing.assert_allclose(index, order, atol=1e-3)
    sigma = experiment.sde.sigma(times)
    if config.sde.name == "ve":
        np.testing.assert_allclose(
            sigma[::-1], np.geomspace(0.01, config.sde.sigma_max, num_scales), 1e-5
        )
        table = {key: config.network[key] for key in ("sigma_min", "sigma_max", "num_scales")}
        assert table == {
            "sigma_min": 0.01,
            "sigma_max": config.sde.sigma_max,
            "num_scales": num_scales,
        }
    else:
        alpha_squared = np.cumprod(1 - np.linspace(0.1, 20.0, num_scales) / num_scales)
        np.testing.assert_allclose(sigma[::-1] ** 2, 1 - alpha_squared, rtol=1e-4)


def _number(text):
    try:
        return float(text) if {".", "e"} & set(text) else int(text)
    except ValueError:
        return text


@pytest.mark.parametrize("name", [name for name, (_, flags) in RELEASED.items() if flags])
def test_the_released_model_is_that_of_its_flags(name):
    """Its network, chain, inputs and loss; its size is tested above."""
    _, flags = RELEASED[name]
    _, experiment = load(name)
    model = read_flags(flags)
    dropout = getattr(experiment.network.module, "dropout", 0.0)
    assert model.network.module.clone(dropout=dropout) == experiment.network.module
    assert model.image_shape == experiment.image_shape
    assert model.sde == experiment.sde
    if model.prediction is None:
        assert experiment.trains_classifier
        return
    assert dropout == float(flags.get("dropout", 0.0))
    assert model.prediction == experiment.prediction
    weight = 0.001 if flags.get("rescale_learned_sigmas") else 1 / flags["diffusion_steps"]
    objective = experiment.make_objective(experiment.codec_without_data)
    if "use_kl" in flags:
        assert isinstance(objective, losses.ChainLoss)
        assert isinstance(objective.times, times.LossSecondMoment)
    else:
        assert isinstance(objective, losses.HybridLoss) and objective.weight == weight
    assert ("low_resolution" in experiment.condition) == ("large_size" in flags)
    assert ("label" in experiment.condition) == flags.get("class_cond", False)


@pytest.mark.parametrize("name, count", EDM_PARAMETERS.items())
def test_sizes_of_edms_networks(name, count):
    config, experiment = load(f"edm/cifar10_{name}")
    assert size(experiment)[0] == count
    # The published loss is a sum with Adam's epsilon 1e-8, and this one half of it.
    assert (config.loss.reduction, config.optimizer.eps) == ("half_sum", 0.5e-8)


@pytest.mark.parametrize(
    "name, row", covering(EDM2.items(), lambda item: item[0].endswith(("_xs", "_xxl", "64_s")))
)
def test_edm2s_experiments_are_the_published_ones(name, row):
    channels, millions, rate, dropout = row
    config, experiment = load(f"edm2/{name}")
    assert size(experiment)[0] / 1e6 == pytest.approx(millions, abs=0.06)
    module = experiment.network.module
    assert (module.model_channels, module.dropout) == (channels, dropout)
    assert module.num_classes == 1000 and experiment.condition == ("label",)
    latents = "512" in name
    assert experiment.shape == ((64, 64, 4) if latents else (64, 64, 3))
    assert config.loss.times.to_dict() == {
        "name": "log_normal",
        "mean": -0.4 if latents else -0.8,
        "std": 1.0 if latents else 1.6,
    }
    expected = {"beta2": 0.99, "learning_rate": rate, "warmup": 10_000_000 // 2048}
    expected["decay_steps"] = 70_000 if latents else 35_000
    assert expected.items() <= config.optimizer.to_dict().items()
    # The published epsilon is of gradients of a sum over the image, and the loss is a mean.
    assert config.optimizer.eps * math.prod(experiment.shape) == pytest.approx(1e-8)
    objective = experiment.make_objective(experiment.codec_without_data)
    assert isinstance(objective, losses.UncertaintyLoss)
    assert {average.length for average in experiment.averages.values()} == {0.05, 0.1}
    assert experiment.training.snapshot_every * 2048 == 8 * 2**20


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith(("digits", "emoji32"))])
def test_an_evaluation_of_bundled_images_has_batches_to_resume_from(name):
    _, experiment = load(name)
    assert len(experiment.source.splits["test"]) > 5 * experiment.likelihood_batch_size
