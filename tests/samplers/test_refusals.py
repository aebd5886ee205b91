"""What samplers refuse, in a line: unknown names, contradictions, ends where they are undefined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import predictions, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.registry import UsageError


def linear(params, x, noise_condition, condition):
    return 0.3 * x


def test_no_step_within_the_evaluations():
    assert samplers.get("heun").steps_within(100) == 49
    with pytest.raises(UsageError, match="not enough for one step"):
        samplers.get("heun").steps_within(2)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: samplers.get("pcc"), "Unknown sampler 'pcc'"),
        (lambda: samplers.get("ddim", etaa=0.5), "no option 'etaa'"),
        (lambda: samplers.get("annealed_langevin", snr=-1.0), "snr > 0"),
        (lambda: samplers.get("probability_flow", method="euler"), "Unknown ODE method"),
        (lambda: samplers.get("gotta_go_fast", rtol=0.0), "rtol > 0"),
    ],
)
def test_an_unknown_name_or_option_of_a_sampler_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize(
    "sampler, message",
    [
        ("ddim", r"not the name 'ddim'; samplers.get\('ddim'\) makes one"),
        (samplers.DDIM, r"not the class DDIM; DDIM\(\) makes one"),
        (None, "needs a sampler, not None"),
        (lambda x: x, "needs a sampler, not <function"),
    ],
    ids=["name", "class", "nothing", "function"],
)
def test_what_is_no_sampler_is_refused_in_one_line(sampler, message, key):
    with pytest.raises(UsageError, match=message) as error:
        samplers.sample(key, sampler, None, (2, 2), steps=3)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, arguments, message",
    [
        ("ddim", {}, "shape"),
        ("ddim", {"shape": (2, 2)}, "number of steps"),
        ("ddim", {"shape": (2, 2), "x_init": jnp.zeros((3, 2)), "steps": 3}, "contradicts"),
        (
            "ddim",
            {"shape": (2, 2), "steps": 3, "condition": {"label": jnp.zeros(3, int)}},
            "condition",
        ),
        ("ddim", {"shape": (2, 2), "steps": 3, "trajectory": -1}, "stride"),
        ("ddim", {"shape": (2, 2), "steps": 3, "donate": True}, "there is none"),
        ("ddim", {"shape": (2, 2), "steps": 3, "temperature": -1.0}, "temperature"),
        ("ddim", {"x_init": jnp.zeros((3, 2)), "steps": 3, "temperature": 0.5}, "temperature"),
        ("gotta_go_fast", {"shape": (2, 2), "trajectory": 1}, "no trajectory"),
    ],
)
def test_contradictions_in_the_arguments_are_refused(name, arguments, message, mixture, key):
    sampler, denoiser = samplers.get(name), mixture.denoiser(sdes.VP())
    with pytest.raises(UsageError, match=message):
        samplers.sample(key, sampler, denoiser, **arguments)


def test_what_a_discretely_trained_network_cannot_do(key):
    prediction = predictions.get("noise", time_input=predictions.Index(num_scales=100))
    denoiser = Denoiser(sdes.DiscreteVP(num_scales=100), prediction, linear, None)
    for name in ("probability_flow", "gotta_go_fast", "euler", "heun", "rk4"):
        with pytest.raises(UsageError, match="100 discrete levels"):
            samplers.sample(key, samplers.get(name), denoiser, (2, 2), steps=5)
    with pytest.raises(UsageError, match="100 discrete levels"):
        samplers.encode(denoiser, jnp.zeros((2, 2)))
    with pytest.raises(UsageError, match="at most 99 steps"):
        samplers.sample(
            key,
            samplers.get("ddim"),
            denoiser,
            (2, 2),
            steps=100,
            condition={"label": jnp.zeros(2, int)},
        )
    assert samplers.sample(key, samplers.get("ddim"), denoiser, (1, 3), steps=99).nfe[0] == 100


def test_wrong_number_of_keys(mixture, key):
    sampler, denoiser = samplers.get("euler_maruyama"), mixture.denoiser(sdes.VP())
    with pytest.raises(UsageError, match="need one key"):
        samplers.sample(jax.random.split(key, 3), sampler, denoiser, (2, 2), steps=3)


NO_NOISE = "at t = 0 there is none: give a t_min > 0"
TOO_FAST = "infinitely fast at t = 0"


@pytest.mark.parametrize(
    "name, process, message",
    [
        ("pc", sdes.VP, NO_NOISE),
        ("annealed_langevin", sdes.RectifiedFlow, NO_NOISE),
        ("gotta_go_fast", sdes.SubVP, NO_NOISE),
        ("probability_flow", sdes.VP, TOO_FAST),
        ("heun", sdes.VP, TOO_FAST),
        ("rk4", sdes.VP, TOO_FAST),
        ("unipc", sdes.RectifiedFlow, "log-SNR is infinite at t_min"),
        ("dpm_solver_pp_2m", sdes.VP, "log-SNR is infinite at t_min"),
    ],
)
def test_what_is_undefined_without_noise_at_the_end_is_refused(name, process, message, mixture):
    steps = None if name in ("gotta_go_fast", "probability_flow") else 3
    denoiser = mixture.denoiser(process(t_min=0.0))
    with pytest.raises(UsageError, match=message):
        samplers.sample(jax.random.key(0), samplers.get(name), denoiser, (3, 2), steps=steps)


def test_the_end_of_a_grid_of_ones_own_counts(mixture):
    sampler, denoiser = samplers.get("pc"), mixture.denoiser(sdes.VP(t_min=0.0))
    with pytest.raises(UsageError, match=NO_NOISE):
        samplers.sample(jax.random.key(0), sampler, denoiser, (3, 2), grid=[1.0, 0.5, 0.0])
    drawn = samplers.sample(jax.random.key(0), sampler, denoiser, (3, 2), grid=[1.0, 0.5, 0.1])
    assert np.isfinite(drawn.x).all()


@pytest.mark.parametrize("name", ["euler_maruyama", "ancestral_sampling", "ddim", "euler"])
def test_steps_that_ask_for_nothing_at_their_end_go_down_to_no_noise(name, mixture):
    denoiser = mixture.denoiser(sdes.VP(t_min=0.0))
    drawn = samplers.sample(jax.random.key(0), samplers.get(name), denoiser, (3, 2), steps=3)
    assert np.isfinite(drawn.x).all()


def test_encoding_from_no_noise_is_refused_where_the_flow_is_too_fast(mixture):
    with pytest.raises(UsageError, match=TOO_FAST):
        samplers.encode(mixture.denoiser(sdes.VP(t_min=0.0)), np.ones((2, 2)))
