"""Sections that a config leaves out, and components that it gives by name alone."""

import jax
import ml_collections
import pytest
from tiny_model import BARE

from scoresde import runs
from scoresde.experiment import build, overrides, training_differences, with_defaults
from scoresde.registry import UsageError

# By name alone, each where the config names a component.
NAMES = {
    "loss": "denoising",
    "optimizer": "sgd",
    "sampler": "heun",
    "data.codec": "images",
    "loss.weighting": "likelihood",
    "loss.times": "stratified",
    "dequantizer.network": "dequantizer",
    "dequantizer.optimizer": "sgd",
}


def config(*items):
    return overrides.apply(ml_collections.ConfigDict(BARE), [f"--config.{item}" for item in items])


@pytest.mark.parametrize("where", NAMES)
def test_a_name_alone_is_as_good_as_a_section(where):
    by_name = config(f"{where}={NAMES[where]}")
    key = "objective" if where == "loss" else "name"
    by_section = config(f"{where}.{key}={NAMES[where]}")
    assert with_defaults(by_name) == with_defaults(by_section)
    assert str(build(by_name)) == str(build(by_section))
    assert not training_differences(by_name, by_section)


@pytest.mark.parametrize("where", NAMES)
def test_a_name_takes_the_place_of_a_section(where):
    key = "objective" if where == "loss" else "name"
    there = config(f"{where}.{key}={NAMES[where]}")
    changed = overrides.apply(there, [f"--config.{where}=my.module:Mine"])
    section = changed
    for name in where.split("."):
        section = section[name]
    assert section[key] == "my.module:Mine"


def test_options_alone_are_of_the_default():
    sampling = build(config("sampler.rtol=1e-2", "sampler.t_min=1e-2")).sampling
    assert type(sampling.sampler) is type(build(config()).sampling.sampler)
    assert (sampling.sampler.rtol, sampling.t_min) == (1e-2, 1e-2)
    assert with_defaults(config("sampler.rtol=1e-2"))["sampler"] == {
        "name": "probability_flow",
        "rtol": 1e-2,
    }
    build(config("loss.times.t_min=0.1", "optimizer.learning_rate=0.1"))


@pytest.mark.parametrize("section", ["sampler", "optimizer", "loss", "dequantizer.optimizer"])
def test_what_is_neither_a_name_nor_a_section_is_refused(section):
    with pytest.raises(UsageError, match=f"config.{section} must be a name, or a section"):
        build(config(f"{section}=3"))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """Trained by a config that has what it must have, and nothing else."""
    workdir = tmp_path_factory.mktemp("bare") / "run"
    runs.train(ml_collections.ConfigDict(BARE), workdir)
    return workdir


def test_a_bare_config_is_trained_sampled_and_evaluated(workdir):
    run = runs.Run(workdir)
    drawn = run.draw(runs.SampleRequest(num=2, batch_size=2))
    assert drawn["sampler"] == {"name": "probability_flow"} and not drawn["unfinished"]
    evaluated = run.likelihood(runs.LikelihoodProtocol(num=2))
    assert evaluated["config"]["sde"] == {"name": "vp"} and not evaluated["unfinished"]


def test_samplers_are_chosen_by_name(workdir):
    run = runs.Run(workdir, ["--config.sampler=ddim", "--config.sampler.steps=2"])
    drawn = run.draw(runs.SampleRequest(num=2, batch_size=2), name="ddim")
    assert drawn["sampler"] == {"name": "ddim", "steps": 2} and drawn["nfe_max"] == 3


def test_a_sampler_by_its_name_alone_has_steps(workdir):
    run = runs.Run(workdir, ["--config.sampler=ddim"])
    assert run.draw(runs.SampleRequest(num=2), name="alone")["sampler"]["steps"] == 100
    assert build(config("sde=discrete_vp", "sampler=ddim")).sampling.steps == 999
    assert build(config("sampler=gotta_go_fast")).sampling.steps is None


@pytest.mark.parametrize("low", [0.05, 0.1])
def test_a_sampler_keeps_x0_in_the_range_that_its_section_clips_to(low):
    section = {"name": "ddim", "steps": 3, "clip": (low, 0.15)}
    experiment = build({**BARE, "sampler": section})
    denoiser = experiment.denoiser(experiment.init(jax.random.key(0)))
    x = experiment.sampling.sample(jax.random.key(1), denoiser, (16, *experiment.shape)).x
    # Unclipped they go from 0.003 to 0.202; the last of x are x0.
    assert float(x.min()) == pytest.approx(low) and float(x.max()) == pytest.approx(0.15)


@pytest.mark.parametrize("clip", [True, (1.0, -1.0), (0.0,), "-1, 1", (0, float("nan"))])
def test_a_range_that_is_none_is_refused(clip):
    with pytest.raises(UsageError, match=r"sampler\.clip is the range of the data"):
        build({**BARE, "sampler": {"name": "ddim", "clip": clip}})
