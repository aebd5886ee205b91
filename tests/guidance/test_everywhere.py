"""Guided denoisers go wherever denoisers go."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import mixtures
import numpy as np
import pytest

from scoresde import guidance, likelihood, samplers, sdes

SCRIPT = pathlib.Path(__file__).parent / "guided_on_eight_devices.py"
SDE, DATA = sdes.VP(), mixtures.images()
LABEL = {"label": np.array([0, 1, 1])}


@functools.cache
def all_of_them():
    """Every method around the one before it."""
    denoiser, weaker = DATA.denoiser(SDE), DATA.data.denoiser(SDE)
    options = {
        "cfg": {"scale": 2.0},
        "autoguidance": {"weaker": weaker, "scale": 1.2},
        "classifier": {"classifier": DATA.classifier(SDE), "scale": 0.5},
        "clip": {"low": -2.0, "high": 2.0},
        "dynamic_thresholding": {"percentile": 0.9, "low": -2.0, "high": 2.0},
        "temperature": {"temperature": 0.9},
    }
    assert options.keys() == guidance.GUIDANCE.keys() - guidance.POSTERIORS.keys()
    for name, given in options.items():
        denoiser = guidance.get(name, denoiser, **given)
    return denoiser


def thorough(*values):
    return pytest.param(*values, marks=pytest.mark.thorough)


# Every sampler calls the same denoiser: in CI one draws noise, one corrects, one has two stages.
@pytest.mark.parametrize(
    "name",
    [
        *("ddim", "pc", "edm"),
        *map(thorough, ("euler_maruyama", "dpm_solver_pp_2m", "heun", "probability_flow")),
    ],
)
def test_samples_are_near_their_class_with_every_sampler(name):
    options = {} if name == "probability_flow" else {"steps": 10}
    drawn = samplers.sample(
        jax.random.key(0),
        samplers.get(name),
        all_of_them(),
        (3, 1, 2, 1),
        condition=LABEL,
        **options,
    )
    assert np.isfinite(drawn.x).all() and np.abs(drawn.x).max() < 3
    assert (np.sign(drawn.x[:, 0, 0, 0]) == [-1, 1, 1]).all()


@pytest.mark.thorough
def test_a_guided_model_encodes_and_has_the_density_of_its_flow():
    """With a condition that is each sample's own, in a batch and alone."""
    guided = guidance.ClassifierFreeGuidance(DATA.denoiser(SDE), 1.5)
    x, key = (
        jnp.array([[-0.8, 0.2], [0.7, 0.0], [0.3, -0.5]]).reshape(3, 1, 2, 1),
        jax.random.key(0),
    )
    latent, _ = samplers.encode(guided, x, condition=LABEL, rtol=1e-3, atol=1e-3)
    log_prob = functools.partial(likelihood.log_prob, key, trace="exact", rtol=1e-4, atol=1e-4)
    nats = log_prob(guided, x, condition=LABEL).nats
    one = {"label": LABEL["label"][1:2]}
    alone, _ = samplers.encode(guided, x[1:2], condition=one, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(latent[1:2], alone, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(nats[1:2], log_prob(guided, x[1:2], condition=one).nats, rtol=1e-4)


def test_scale_1_has_the_likelihood_of_the_class():
    guided = guidance.ClassifierFreeGuidance(DATA.denoiser(SDE), jnp.ones(()))
    x = jnp.array([[-0.8, 0.2], [0.7, 0.0], [0.3, -0.5]]).reshape(3, 1, 2, 1)
    options = {"trace": "exact", "rtol": 1e-4, "atol": 1e-4, "correction": "none"}
    result = likelihood.log_prob(jax.random.key(0), guided, x, condition=LABEL, **options)
    expected = DATA.log_prob(x, labels=LABEL["label"])
    np.testing.assert_allclose(result.nats, expected, atol=2e-3)


@pytest.fixture(scope="module")
def differences():
    """Of guided batches from their samples one by one, by method."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    path = os.pathsep.join([str(SCRIPT.parent.parent.parent), str(SCRIPT.parent)])
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", ["cfg", "autoguidance", "classifier", "others"])
def test_a_guided_sample_is_the_same_in_any_batch_and_on_eight_devices(name, differences):
    assert differences[name] < 2e-5, differences
