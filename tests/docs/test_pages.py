"""The pages of the documentation that hold a program are run."""

import json
import pathlib
import re
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_model

from scoresde import (
    analytic,
    build,
    dequantization,
    evaluation,
    likelihood,
    load_config,
    losses,
    metrics,
    runs,
    samplers,
    sdes,
    training,
)
from scoresde.cli import _parser
from scoresde.cli.arguments import parse
from scoresde.predictions import Noise

README = pathlib.Path(__file__).parent.parent.parent / "README.md"
DOCS = README.parent / "docs"


def blocks(page):
    """The Python of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def mine():
    """docs/add_your_own.md as the module `mine`."""
    module = types.ModuleType("mine")
    sys.modules["mine"] = module
    for block in blocks("add_your_own.md"):
        exec(compile(block, "mine.py", "exec"), module.__dict__)
    yield module
    del sys.modules["mine"]


def test_each_component_of_ones_own_is_shown_in_a_few_lines():
    for block in blocks("add_your_own.md")[1:-1]:
        parts = re.split(r"\n\n\n", block)
        assert all(len(part.strip().splitlines()) <= 16 for part in parts), block


def test_components_of_ones_own_train_and_sample_together(mine):
    experiment = mine.experiment
    assert type(experiment.sde).__name__ == "Sine"
    params = experiment.init(jax.random.key(0))
    batch = experiment.source.splits["train"].batch(slice(0, 8))
    loss, _ = experiment.loss_fn()(params, jax.random.key(1), batch)
    assert jnp.isfinite(loss)
    images = batch["image"]
    x = experiment.codec.encode(jax.random.key(2), images)
    np.testing.assert_array_equal(experiment.codec.decode(x), images)

    mesh, averages = training.make_mesh(), experiment.averages
    assert list(averages) == ["ema", "mean"]
    denoiser = experiment.denoiser(params)
    drawn = runs.generate(jax.random.key(3), experiment, denoiser, 5, mesh=mesh)
    assert drawn.images.shape == (5, 4, 4, 1) and drawn.images.max() <= 1


def test_guidance_of_ones_own_is_a_denoiser_like_any_other(mine):
    experiment = mine.experiment
    denoiser = experiment.denoiser(experiment.init(jax.random.key(0)))
    target = jnp.arange(3.0)[:, None, None, None] * jnp.ones((4, 4, 1))
    guided = mine.Pulled(denoiser, strength=1.0)
    drawn = samplers.sample(
        jax.random.key(0),
        samplers.get("ddim"),
        guided,
        (3, 4, 4, 1),
        condition={"target": target},
        steps=4,
    )
    np.testing.assert_allclose(drawn.x, target, atol=1e-5)


@pytest.mark.parametrize("name", ["ddim", "euler_maruyama", "pc", "heun"])
def test_guidance_of_ones_own_is_heard_by_samplers_that_read_the_one_or_the_other(name, mine):
    gaussian = analytic.gaussian(np.zeros(2), np.eye(2)).denoiser(sdes.VP())
    condition = {"target": jnp.full((64, 2), 3.0)}

    def mean(strength):
        guided, key = mine.Pulled(gaussian, strength=strength), jax.random.key(0)
        sampler = samplers.get(name)
        return samplers.sample(
            key, sampler, guided, (64, 2), condition=condition, steps=20
        ).x.mean()

    assert abs(mean(0.0)) < 0.5 and mean(0.3) > 1.5


def test_a_metric_of_ones_own_is_reached_by_its_name(mine):
    metric = metrics.get("mine:MeanGap")
    assert metric(None, jnp.zeros((3, 2)), jnp.ones((5, 2))) == pytest.approx(2**0.5)
    assert mine.mean_gap == pytest.approx(2.0)  # as the page calls it


def test_an_augmentation_of_ones_own_is_told_to_the_network(mine):
    heard = []

    def network(params, x, noise_condition, condition, *, train, rng):
        heard.append(condition["augment_labels"])
        return params * x

    loss = losses.DenoisingScoreMatching(
        sde=sdes.VP(), prediction=Noise(), network=network, augmentation="mine:Dimmed"
    )
    assert jnp.isfinite(loss(0.5, jax.random.key(0), jnp.ones((16, 2, 2, 1))))
    assert heard[0].shape == (16, 1) and set(heard[0].ravel().tolist()) == {0.0, 1.0}


def test_a_dequantizer_of_ones_own_is_reached_by_its_name(mine):
    experiment, images = mine.experiment, np.zeros((8, 4, 4, 1), np.uint8)
    made, bin_range = dequantization.choose("mine:Narrow", experiment.codec, sde=experiment.sde)
    unit, log_q = made(jax.random.key(0), images, 2)
    assert unit.min() > 1 / 8 and unit.max() < 3 / 8
    np.testing.assert_allclose(log_q, 16 * np.log(2), rtol=1e-6)
    estimator = evaluation.Estimator(
        likelihood=likelihood.ExactLikelihood(rtol=1e-2, atol=1e-2, probes=1),
        bins=2,
        dequantizer=made,
        bin_range=bin_range,
    )
    keys = jax.random.split(jax.random.key(0), 8)
    denoiser = experiment.denoiser(experiment.init(jax.random.key(0)))
    assert jnp.isfinite(estimator(keys, keys, denoiser, images).nats).all()


def test_the_page_of_points_trains_samples_and_has_their_density(tmp_path, monkeypatch, capsys):
    (block,) = blocks("points.md")
    assert len([line for line in block.splitlines() if line.strip()]) <= 40
    monkeypatch.chdir(tmp_path)
    page = {}
    exec(compile(block, "points.py", "exec"), page)
    radius = np.linalg.norm(page["drawn"].x, axis=1)
    assert radius.mean() == pytest.approx(1.0, abs=0.05) and radius.std() < 0.25
    assert -1.3 < page["result"].nats.mean() < -0.9  # minus the ring's entropy: -0.95


def test_the_page_on_samplers_runs():
    names = {}
    exec(compile("\n".join(blocks("samplers.md")), "samplers.md", "exec"), names)
    assert names["drawn"].x.shape == (2, 2)


def test_the_page_on_guidance_runs():
    names = {}
    exec(compile("\n".join(blocks("guidance.md")), "guidance.md", "exec"), names)
    assert np.isfinite(names["nats"]).all()


def test_the_page_on_training_runs_and_its_configs_are_some():
    names = {}
    exec(compile("\n".join(blocks("training.md")), "training.md", "exec"), names)
    assert names["x"].shape == (4, 16, 16, 3) and names["labels"].shape == (4, 9)
    commands = re.findall(r"^scoresde (.*)$", (DOCS / "training.md").read_text(), re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        parse(_parser(), command.split())
        words = command.split()
        if words[0] != "train":
            continue
        changes = [word for word in words if word.startswith("--config.")]
        build(load_config(words[words.index("--config") + 1], changes))


def test_the_page_on_learned_variances_runs():
    config = types.SimpleNamespace(sampler=None, loss=None)
    names = {"config": config}
    exec("\n".join(blocks("learned_variances.md")), names)
    assert names["drawn"].x.shape == (2000, 1)
    assert config.loss["objective"] in losses.OBJECTIVES
    sampling = dict(config.sampler)
    grid, _ = sampling.pop("grid"), sampling.pop("clip")
    assert samplers.get(**sampling).times(sdes.DiscreteCosine(), None, grid).shape == (250,)


def test_the_page_on_posteriors_has_the_mean_it_says():
    names = {}
    exec(compile("\n".join(blocks("posteriors.md")), "posteriors.md", "exec"), names)
    np.testing.assert_allclose(names["drawn"].x.mean(axis=0), [1.142, 0.085], atol=0.07)


def test_the_page_on_restoration_runs_and_its_commands_are_some(tmp_path, monkeypatch):
    tiny_model.make_digits_run(tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile("\n".join(blocks("restoration.md")), "restoration.md", "exec"), names)
    assert len(list((tmp_path / "mended").glob("*_*.png"))) == 12
    assert names["edited"].x.shape == (3, 8, 8, 1)
    page = (DOCS / "restoration.md").read_text()
    commands = re.findall(r"^scoresde (.*)$", page, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        parse(_parser(), command.split())


def test_the_minimal_config_of_the_readme_is_one():
    (block,) = re.findall(r"```python\n(def get_config.*?)```", README.read_text(), re.DOTALL)
    assert len(block.strip().splitlines()) <= 10
    names = {}
    exec(block, names)
    experiment = build(names["get_config"]())
    assert experiment.shape == (8, 8, 1) and experiment.abstract_params


def test_the_benchmarks_page_is_what_the_machines_files_say():
    from experiments.bench import table

    found = [json.loads(path.read_text()) for path in sorted(table.RESULTS.glob("*.json"))]
    assert found and (DOCS / "benchmarks.md").read_text() == table.page(found)
