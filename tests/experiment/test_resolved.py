"""A config in full: the same experiment, and every key said."""

import dataclasses

import pytest

from scoresde.experiment import as_python, build, load_config
from scoresde.experiment.resolved import Key, resolved

PARTS = [
    "sde",
    "prediction",
    "network",
    "image_shape",
    "condition",
    "degradation",
    "flip",
    "sampling",
    "likelihood",
    "likelihood_batch_size",
    "averages",
    "dequantizer_network",
    "seed",
]
NAMES = (
    "vp/digits",
    "vdm/digits",
    "improved_diffusion/digits",
    "ve/cifar10_ncsnpp_continuous",
    "vp/ddpm/cifar10",
    "edm/cifar10_ddpmpp_cond",
    "score_flow/vp/cifar10_ddpmpp_continuous",
    "vp/emoji32_super_resolution",
    "edm2/digits",
)


def parts(config):
    experiment = build(config)
    objective = experiment.make_objective(experiment.codec_without_data)
    training = dataclasses.replace(experiment.training, averages={})  # their section is not checked
    return repr([getattr(experiment, part) for part in PARTS] + [training, objective])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_printed_is_the_same_experiment_and_has_all_its_keys(name, tmp_path):
    config = load_config(
        name,
        [
            "--config.training.averages.second.name=ema",
            "--config.training.averages.second.rate=0.9",
        ],
    )
    (tmp_path / "printed.py").write_text(as_python(config, "Printed."))
    printed = load_config(tmp_path / "printed.py")
    assert parts(printed) == parts(config)
    assert printed.training.keep_every == config.training.keep_every
    assert {"rtol", "method", "precision"} <= set(printed.likelihood)
    assert as_python(printed, "Printed.") == as_python(config, "Printed.")


def unsaid(keys, where=""):
    for name, (value, words) in keys.items():
        if not words:
            yield f"{where}{name}"
        if isinstance(value, dict) and all(isinstance(one, Key) for one in value.values()):
            yield from unsaid(value, f"{where}{name}.")


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_said(name):
    assert not list(unsaid(resolved(load_config(name))))


def test_values_and_what_they_are_come_from_what_reads_them():
    keys = resolved(load_config("vp/digits", ["--config.sampler=heun"]))
    assert keys["sampler"].value["name"].value == "heun"
    assert keys["sde"].value["beta_max"].value == 20.0
    assert keys["training"].value["accumulate"].words.startswith("parts of a batch")
    assert keys["dequantizer"].value["num_steps"].words == "length of the run."
    assert "num_steps" not in keys["optimizer"].value  # the run's, unless a config says otherwise


def test_a_component_of_ones_own_is_resolved_too(monkeypatch, tmp_path):
    (tmp_path / "my_process.py").write_text(
        "import dataclasses\n"
        "from scoresde import sdes\n"
        "@dataclasses.dataclass(frozen=True, kw_only=True)\n"
        "class Mine(sdes.VP):\n"
        "    '''Mine.\n\n    Attributes:\n        more: of it.\n    '''\n"
        "    more: float = 2.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    keys = resolved(load_config("vp/digits", ["--config.sde=my_process:Mine"]))
    assert keys["sde"].value["more"] == (2.0, "of it.")
    assert keys["sde"].value["t_max"].words
