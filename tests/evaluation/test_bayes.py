"""p(class | x) of a class-conditional model: in closed form, and from the command line."""

import json

import jax
import numpy as np
import pytest
import tiny_classes

from scoresde import evaluation, training
from scoresde.cli import main
from scoresde.experiment import build
from scoresde.runs import save_config


def test_the_posterior_is_that_of_bayes():
    densities = np.array([[[1.0, 3.0]], [[2.0, 2.0]], [[0.1, 0.9]]])  # [n, passes, classes]
    shares = np.array([0.75, 0.25])
    posterior = evaluation.class_posterior(np.log(densities), shares)
    np.testing.assert_allclose(posterior, [[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]], atol=1e-6)
    twice = np.concatenate([densities, 3 * densities], axis=1)  # passes average as densities
    np.testing.assert_allclose(evaluation.class_posterior(np.log(twice), shares), posterior)


def test_the_summary_is_of_the_right_classes():
    nats = np.log(np.array([[[1.0, 4.0]], [[8.0, 2.0]], [[1.0, 16.0]]]))
    results = {"class_nats": nats, "no_class_nats": np.log(np.full((3, 1), 2.0))}
    labels, shares = np.array([1, 0, 0]), np.array([0.5, 0.5])
    summary, arrays = evaluation.summarize_classes(results, labels, shares, lambda n: -n)
    assert summary["class_accuracy"] == pytest.approx(2 / 3)
    assert summary["class_log_loss"] == pytest.approx(-np.log([0.8, 0.8, 1 / 17]).mean(), rel=1e-6)
    assert summary["gain_of_class"] == pytest.approx(np.log([4, 8, 1]).mean() - np.log(2), rel=1e-6)
    assert summary["mixture_bits_per_dim"] == pytest.approx(-np.log([2.5, 5, 8.5]).mean(), rel=1e-6)
    assert arrays["class_posterior"].shape == (3, 2)


def test_an_image_without_a_density_under_some_class_is_not_counted_as_right():
    nats = np.log(np.array([[[4.0, 1.0]], [[np.nan, 2.0]], [[1.0, np.nan]]]))
    labels, shares = np.array([0, 0, 0]), np.array([0.5, 0.5])
    summary, _ = evaluation.summarize_classes({"class_nats": nats}, labels, shares, lambda n: -n)
    assert summary["class_accuracy"] == pytest.approx(1 / 3)
    assert np.isnan(summary["class_log_loss"])


def test_shares_are_of_the_training_labels_and_never_zero():
    np.testing.assert_allclose(
        evaluation.class_shares(np.array([0, 0, 1]), 3), [3 / 6, 2 / 6, 1 / 6]
    )


def test_the_command_classifies_and_says_what_a_class_gains(tmp_path):
    config = {
        **tiny_classes.CLASSIFIER,
        "network": {"name": "tiny_classes:Classes"},
        "loss": {},
        "optimizer": {},
        "likelihood": {"batch_size": 5, "rtol": 1e-3, "atol": 1e-3, "t_min": 1e-3},
    }
    config["data"] = config["data"] | {"dequantize": True}
    experiment = build(config)
    save_config(tmp_path, config)
    with training.Checkpoints(tmp_path / "checkpoints") as checkpoints:
        params = experiment.init(jax.random.key(0))
        rest = experiment.optimizer, experiment.averages
        checkpoints.save(0, training.create_state(jax.random.key(1), params, *rest))
    command = ["likelihood", "--workdir", str(tmp_path), "--num", "12"]
    assert main([*command, "--name", "plain"]) == 0
    assert main([*command, "--name", "bayes", "--bayes"]) == 0
    plain, bayes = (
        json.loads((tmp_path / "likelihood" / name / "likelihood.json").read_text())
        for name in ("plain", "bayes")
    )
    assert bayes["class_accuracy"] == 1.0 and bayes["class_log_loss"] < 0.05
    # Of its own class an image has the density that it has without --bayes.
    assert bayes["bits_per_dim"] == pytest.approx(plain["bits_per_dim"], abs=1e-5)
    # The other class is so far away that half of its mass is all that no class costs.
    assert bayes["class_shares"] == [0.5, 0.5]
    assert bayes["mixture_bits_per_dim"] - bayes["bits_per_dim"] == pytest.approx(1 / 4, abs=0.02)
    with np.load(tmp_path / "likelihood/bayes/per_image.npz") as saved:
        np.testing.assert_array_equal(saved["class_posterior"].argmax(axis=1), np.arange(12) % 2)
