"""Steps as graphs: on one NVIDIA GPU, where they were tried, never against the user's word."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde import load_config, training
from scoresde.runs.setup import set_up
from scoresde.speed import graphs, platforms
from scoresde.training import train_step


def mesh(platform, count):
    device = types.SimpleNamespace(platform=platform)
    return types.SimpleNamespace(devices=np.array([device] * count))


@pytest.fixture
def on_nvidia(monkeypatch):
    """Where JAX would run on one of its GPUs, with a jaxlib that was tried there."""
    monkeypatch.delenv("SCORESDE_FAST", raising=False)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(graphs, "_chosen", {})
    monkeypatch.setattr(graphs, "is_nvidia", lambda: True)
    monkeypatch.setattr(graphs.importlib.metadata, "version", lambda name: graphs.TRIED[0])


def test_steps_on_one_gpu_have_the_options_once_it_is_said(on_nvidia):
    assert graphs.step_options(mesh("gpu", 1)) == {}
    assert graphs.run_side_by_side().why.startswith("scoresde")
    assert graphs.step_options(mesh("gpu", 1)) == graphs.OPTIONS
    for platform, count in (("gpu", 2), ("cpu", 1), ("tpu", 1)):
        assert graphs.step_options(mesh(platform, count)) == {}


def test_the_users_word_goes_before(on_nvidia, monkeypatch):
    graphs.run_side_by_side()
    for name, value, why in (
        ("XLA_FLAGS", "--xla_gpu_enable_command_buffer=", "XLA_FLAGS says how"),
        ("XLA_FLAGS", "--xla_gpu_command_buffer_scheduling_mode=LHS", "XLA_FLAGS says how"),
        ("XLA_FLAGS", "/flags.txt", "XLA_FLAGS names a file, which may say how"),
        ("SCORESDE_FAST", "0", "SCORESDE_FAST=0"),
    ):
        with monkeypatch.context() as environment:
            environment.setenv(name, value)
            assert graphs.run_side_by_side()[1:] == ("", why)
            assert graphs.step_options(mesh("gpu", 1)) == {}
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=0")
    assert graphs.run_side_by_side().value


def test_a_jaxlib_that_was_not_tried_has_none(on_nvidia, monkeypatch):
    monkeypatch.setattr(graphs.importlib.metadata, "version", lambda name: "0.99.0")
    assert "not tried with jaxlib 0.99.0" in graphs.run_side_by_side().why
    assert graphs.step_options(mesh("gpu", 1)) == {}


def test_a_cpu_has_none(on_nvidia, monkeypatch):
    monkeypatch.setattr(graphs, "is_nvidia", platforms.is_nvidia)
    assert graphs.run_side_by_side()[1:] == ("", "for NVIDIA GPUs alone")


def test_a_training_step_is_compiled_with_them(monkeypatch):
    """XLA knows them, also where it has no use for them; and refuses one that it does not know."""
    monkeypatch.setattr(train_step, "step_options", lambda mesh: graphs.OPTIONS)
    assert _compiled() is not None
    monkeypatch.setattr(train_step, "step_options", lambda mesh: {"xla_gpu_no_such_option": "1"})
    with pytest.raises(jax.errors.JaxRuntimeError, match="xla_gpu_no_such_option"):
        _compiled()
    # Where memory was to be saved, none is spent.
    assert _compiled(side_by_side=False) is not None and _compiled(accumulate=2) is not None


@pytest.mark.parametrize("remat", [True, False])
def test_a_run_whose_network_recomputes_has_none(remat, monkeypatch):
    config = load_config("vp/digits")
    with config.unlocked():
        config.network.remat = remat
    asked = []
    monkeypatch.setattr(train_step, "step_options", lambda mesh: asked.append(mesh) or {})
    set_up(config)
    assert bool(asked) != remat


def _compiled(**options):
    def loss_fn(params, key, batch):
        return jnp.sum(params["w"] * batch["x"].mean()), {}

    on = training.make_mesh(jax.devices()[:1])
    optimizer = optax.sgd(0.1)
    state = training.create_state(jax.random.key(0), {"w": jnp.ones(3)}, optimizer, {})
    step = training.make_train_step(loss_fn, optimizer, on, averages={}, **options)
    return step.lower(training.place(on, state), {"x": jnp.ones((1, 2, 1))}).compile()


@pytest.mark.parametrize(
    "asked_for, plugins, nvidia",
    [
        ("", ["xla_cuda13"], True),
        ("gpu", ["xla_cuda12"], True),
        ("gpu", ["xla_rocm60"], False),
        ("", [], False),
        ("cuda,cpu", [], True),
        ("cpu", ["xla_cuda13"], False),
        ("tpu,cpu", ["xla_cuda13"], False),
    ],
)
def test_gpus_of_nvidia_are_told_from_others(asked_for, plugins, nvidia, monkeypatch):
    monkeypatch.setattr(platforms, "_asked_for", lambda: asked_for)
    monkeypatch.setattr(platforms, "_plugins", lambda: plugins)
    assert platforms.is_nvidia() == nvidia
