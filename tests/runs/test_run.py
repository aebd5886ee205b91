"""A work directory, opened in Python: what the command line does, without it."""

import dataclasses

import jax
import numpy as np
import pytest
from tiny_model import make_run

import scoresde
from scoresde import runs
from scoresde.registry import UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("opened") / "run"
    make_run(workdir)
    return scoresde.load(workdir, ["--config.sampler.steps=4"])


def test_a_run_has_its_config_its_parameters_and_its_denoiser(run):
    assert run.config.sampler.steps == run.experiment.sampling.steps == 4
    assert run.step() == 0 and run.checkpoints.all_steps() == [0]
    np.testing.assert_array_equal(run.params()["mean"], run.params(average=None)["mean"])
    x = np.ones((3, *run.experiment.shape), np.float32)
    assert run.denoiser()(x, 0.5).x0.shape == x.shape
    assert run.denoiser(t_min=0.1).sde.t_min == 0.1
    assert "\n" not in repr(run) and len(repr(run)) < 500


def test_samples_do_not_depend_on_how_they_are_batched(run):
    one, many = (run.generate(6, seed=3, batch_size=size) for size in (1, 4))
    np.testing.assert_array_equal(one.images, many.images)
    assert one.images.shape == (6, 2, 2, 1) and one.images.dtype == np.uint8
    assert not one.unfinished.any() and (many.nfe == 5).all()
    assert (run.generate(6, seed=4).images != one.images).any()


def test_samples_that_are_not_finite_are_counted(run):
    sampling = dataclasses.replace(
        run.experiment.sampling,
        sampler=scoresde.samplers.get("probability_flow", max_steps=1),
        steps=None,
        grid=None,
    )
    assert run.generate(3, sampling=sampling).unfinished.all()


def test_a_condition_of_other_samples_is_refused(run):
    with pytest.raises(UsageError, match="'label' of 3 samples"):
        run.generate(3, condition={"label": np.zeros(2, int)})


def test_an_evaluation_returns_what_it_writes(run):
    protocol = runs.LikelihoodProtocol(num=3, bound="vdm", options={"samples": 2, "repeats": 2})
    summary = run.likelihood(protocol, name="mine")
    assert summary["images"] == 3 and np.isfinite(summary["bits_per_dim"])
    assert all(path.exists() for path in summary["files"])
    with pytest.raises(UsageError, match="holds results already"):
        run.likelihood(protocol, name="mine")


def test_what_a_run_does_not_have_is_refused(run, tmp_path):
    for open_it, message in (
        (lambda: scoresde.load(tmp_path), "holds no experiment"),
        (lambda: run.params(step=7), "no checkpoint"),
        (lambda: run.params(average="slow"), "slow"),
        (lambda: scoresde.load(run.workdir, ["--config.sde.nme=vp"]), "nme"),
        (lambda: run.likelihood(runs.LikelihoodProtocol(split="valid")), "valid"),
        (lambda: run.generate(0), "num must be a positive integer, not 0"),
        (lambda: run.generate(2, batch_size=0), "batch_size must be a positive integer, not 0"),
        (lambda: run.generate(2, seed="a"), "seed must be an integer, not 'a'"),
    ):
        with pytest.raises(UsageError, match=message):
            open_it()


def test_a_key_per_sample_is_that_of_the_samplers(run):
    """A sample of a run is the sample of the same number in Python."""
    drawn = run.generate(2, seed=3)
    sampling = run.experiment.sampling
    denoiser = run.denoiser(t_min=sampling.t_min)
    x = sampling.sample(jax.random.key(3), denoiser, (2, 2, 2, 1)).x
    np.testing.assert_array_equal(run.experiment.codec.decode(x), drawn.images)
