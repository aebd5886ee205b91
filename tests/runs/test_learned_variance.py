"""A chain with learned variances, from its config to its bits/dim."""

import jax
import ml_collections
import numpy as np
import pytest
from covering import covering
from tiny_model import LEARNED

import scoresde
from scoresde import cli, runs
from scoresde.experiment import build, overrides
from scoresde.registry import UsageError


def train(workdir, *items):
    return runs.train(overrides.apply(ml_collections.ConfigDict(LEARNED), list(items)), workdir)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The work directory of a run, and its last state."""
    workdir = tmp_path_factory.mktemp("learned") / "run"
    return workdir, train(workdir, "--config.training.num_steps=60")


def test_mean_and_variance_are_trained_at_times_by_the_losses(trained):
    _, state = trained
    assert int(state.memory["count"].sum()) == 60 * 16
    assert np.ptp(state.memory["losses"].mean(axis=1)) > 0.1
    noise, share = np.asarray(state.params["slope"])
    assert (noise > 0.1).all() and np.abs(share).max() > 0.01 and abs(state.params["share"]) > 0.01


def test_a_run_that_was_stopped_draws_the_times_that_it_would_have(trained, tmp_path):
    for last in (30, 60):
        state = train(tmp_path / "run", f"--config.training.num_steps={last}")
    jax.tree.map(np.testing.assert_array_equal, state.params, trained[1].params)
    jax.tree.map(np.testing.assert_array_equal, state.memory, trained[1].memory)
    logs = [(path / "metrics.jsonl").read_text() for path in (tmp_path / "run", trained[0])]
    assert logs[0] == logs[1]


def test_it_samples_and_bounds_its_bits_per_dim_by_what_it_has_learned(trained):
    run = scoresde.load(trained[0])
    drawn = run.generate(5, seed=1)
    assert drawn.images.shape == (5, 2, 2, 1) and not drawn.unfinished.any()
    assert (drawn.nfe == 6).all()
    bits = {}
    for variance in ("learned", "posterior"):
        options = {} if variance == "learned" else {"variance": variance}
        protocol = runs.LikelihoodProtocol(bound="ddpm", num=64, options=options)
        summary = run.likelihood(protocol, name=variance)
        assert summary["variance"] == variance and summary["steps"] == 5
        bits[variance] = summary["bits_per_dim"]
    assert bits["learned"] < bits["posterior"]


def test_it_samples_on_some_of_its_levels_and_says_how_many(trained, capsys):
    grid = "--config.sampler.grid={'name': 'respaced', 'spacing': 3}"
    command = ["sample", "--workdir", str(trained[0]), "--num", "4", grid]
    assert cli.main(command) == 0
    assert "ancestral_sampling, 2 steps each" in capsys.readouterr().err


CHAIN = [
    (objective, times)
    for objective in ("vlb", "hybrid", "denoising")
    for times in ("discrete", "loss_second_moment")
]


@pytest.mark.parametrize("objective, times", covering(CHAIN, CHAIN[1:5:3]))
def test_every_objective_takes_levels(objective, times):
    """With and without a memory, and by a test loss that needs none."""
    loss = {"objective": objective, "times": {"name": times}}
    experiment = build(ml_collections.ConfigDict({**LEARNED, "loss": loss}))
    memory = experiment.init_memory()
    assert (memory is None) == (times == "discrete")
    params = experiment.init(jax.random.key(0))
    batch = experiment.source.splits["train"].batch(slice(0, 8))
    inputs = params, jax.random.key(1), batch
    value, metrics = jax.jit(experiment.loss_fn(train=False))(*inputs)
    levels = metrics["loss_by_noise"]  # of every sample, in one of them
    np.testing.assert_allclose([levels.weight.sum(), levels.total.sum()], [1, value], rtol=1e-5)
    if memory is not None:
        value, _, after = jax.jit(experiment.loss_fn())(*inputs, memory=memory)
        assert np.isfinite(value) and after["count"].sum() == 8


@pytest.mark.parametrize(
    "items, message",
    [
        (["loss.times.name=uniform"], "take the times 'discrete' or"),
        (["data.dequantize=True"], "levels without noise in their bins"),
        (["prediction.learned_variance=False"], "needs a network that predicts one"),
        (["loss.variance=posterior"], "this one is fixed: take 'denoising', or 'vlb'"),
        (["loss.decoder=erf"], "Unknown decoder 'erf'"),
        (["loss.weight=much"], "weight .*must be a number"),
        (["loss.times.history=0"], "history of 1 or more"),
        (["sde.name=vp", "sde.t_min=0.0", "loss.times.num_scales=5"], "there is none"),
    ],
)
def test_what_no_chain_can_be_trained_by_is_refused(items, message):
    config = ml_collections.ConfigDict(LEARNED)
    with pytest.raises(UsageError, match=message) as error:
        build(overrides.apply(config, [f"--config.{item}" for item in items]))
    assert "\n" not in str(error.value)


def test_a_process_that_is_no_chain_is_trained_for_one_of_so_many_levels():
    loss = {"objective": "vlb", "times": {"name": "discrete", "num_scales": 5}}
    config = {**LEARNED, "sde": {"name": "vp", "t_min": 1e-3}, "loss": loss}
    experiment = build(ml_collections.ConfigDict(config))
    objective = experiment.make_objective(experiment.codec)
    np.testing.assert_allclose(objective.times.levels, np.linspace(1e-3, 1, 5), rtol=1e-6)
    params = experiment.init(jax.random.key(0))
    images = experiment.source.splits["train"].images[:8]
    assert np.isfinite(jax.jit(objective)(params, jax.random.key(1), images))
