"""The objective of noisy classifiers: against the exact classifier of two Gaussians."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_classes

from scoresde import analytic, losses, predictions, sdes
from scoresde.experiment import build
from scoresde.labeled_mixture import labeled_mixture
from scoresde.registry import UsageError

SDE = sdes.VP()


@pytest.fixture(scope="module")
def objective():
    return losses.ClassificationLoss(
        sde=SDE, prediction=predictions.Noise(), network=tiny_classes.Classifier()
    )


@pytest.fixture(scope="module")
def truth():
    """The classifier of the two classes, exactly."""
    means = (-tiny_classes.MEAN, tiny_classes.MEAN)
    one = [
        analytic.gaussian(np.full((2, 2, 1), mean), tiny_classes.STD**2 * np.eye(4))
        for mean in means
    ]
    return labeled_mixture([0.5, 0.5], one).classifier(SDE)


def test_the_loss_is_minus_log_p_of_the_class_at_x_t(objective, truth):
    key, labels = jax.random.key(0), jnp.arange(64) % 2
    noise_key, x_key = jax.random.split(jax.random.key(1))
    x0 = jax.random.normal(x_key, (64, 2, 2, 1))
    noise = jax.random.normal(noise_key, x0.shape)
    t = jnp.linspace(0.05, 1.0, 64)
    condition = {"label": labels}
    loss = objective.at({"scale": 1.0}, key, x0, noise, t, condition)
    likelihood_ratio = truth(SDE.perturb(x0, noise, t), t, condition)  # log p(x | y) - log p(x)
    np.testing.assert_allclose(loss, np.log(2) - likelihood_ratio, rtol=1e-4, atol=1e-4)
    one = objective.at({"scale": 1.0}, key, x0[5:6], noise[5:6], t[5:6], {"label": labels[5:6]})
    np.testing.assert_allclose(one, loss[5:6], rtol=1e-5)


def test_the_exact_classifier_is_its_minimum(objective):
    """Where its gradient vanishes, within four standard errors."""
    labels = jnp.arange(4096) % 2
    mean = tiny_classes.MEAN * (2 * labels - 1.0)[:, None, None, None]
    x0 = mean + tiny_classes.STD * jax.random.normal(jax.random.key(0), (4096, 2, 2, 1))

    @jax.jit
    def slopes(scale):
        def each(scale):
            key = jax.random.key(1)
            return objective.per_sample({"scale": scale}, key, x0, {"label": labels})[0]

        return jax.jvp(each, (scale,), (1.0,))[1]

    at = {scale: np.asarray(slopes(scale)) for scale in (0.5, 1.0, 2.0)}
    stderr = {scale: slope.std() / 64 for scale, slope in at.items()}
    assert abs(at[1.0].mean()) < 4 * stderr[1.0]
    assert at[0.5].mean() < -4 * stderr[0.5] and at[2.0].mean() > 4 * stderr[2.0]


def test_what_is_no_classifier_is_refused(objective):
    x0, t = jnp.zeros((3, 2, 2, 1)), jnp.full(3, 0.5)
    with pytest.raises(UsageError, match=r"labels=True"):
        objective.at({"scale": 1.0}, None, x0, x0, t)
    with pytest.raises(UsageError, match=r"labels \[batch\], and here are \[3, 2\] and \[2\]"):
        objective.at({"scale": 1.0}, None, x0, x0, t, {"label": jnp.zeros(2, int)})


NETWORK = {"name": "adm_encoder", "num_classes": 2, "num_channels": 32, "num_head_channels": 32}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"network": NETWORK, "loss": {}}, "this network is one, and its objective is another"),
        ({"network": {"name": "ddpm"}}, "this network is none, and its objective is another"),
        (
            {"data": {**tiny_classes.CLASSIFIER["data"], "labels": False}},
            "set config.data.labels=True",
        ),
        ({"training": {"batch_size": 8, "num_steps": 9, "eval_fd_every": 2}}, "has no samples"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        build({**tiny_classes.CLASSIFIER, **changes})
