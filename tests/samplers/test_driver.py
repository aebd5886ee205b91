"""The driver: keys, counts, trajectories, progress, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import predictions, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import sample_keys
from scoresde.predictions import Noise
from scoresde.registry import UsageError
from scoresde.samplers.observe import _bars

ADAPTIVE = ("probability_flow", "gotta_go_fast")


def linear(params, x, noise_condition, condition):
    return 0.3 * x


def squash(params, x, noise_condition, condition):
    return jnp.tanh(x)


@pytest.fixture
def uncompiled():
    """Runs operation by operation: for a few steps that is quicker than to compile them."""
    with jax.disable_jit():
        yield


@pytest.mark.parametrize(
    "name, options",
    [("pc", {"corrector_steps": 2}), ("edm", {"s_churn": 5.0}), ("sde_dpm_solver_pp_2m", {}),
     ("gotta_go_fast", {"rtol": 0.3, "atol": 0.3})],
)  # fmt: skip
def test_a_key_gives_the_same_sample_in_any_batch(name, options, key, uncompiled):
    denoiser, sampler = Denoiser(sdes.VP(), Noise(), squash, None), samplers.get(name, **options)
    steps = {} if name in ADAPTIVE else {"steps": 6}
    together = samplers.sample(key, sampler, denoiser, (4, 3), **steps)
    keys = sample_keys(key, 1, first=2)
    alone = samplers.sample(keys, sampler, denoiser, (1, 3), **steps)
    np.testing.assert_allclose(alone.x[0], together.x[2], rtol=1e-3, atol=1e-4)
    assert alone.nfe[0] == together.nfe[2]


@pytest.mark.parametrize(
    "name, options",
    [
        *((name, {}) for name in samplers.SAMPLERS if name != "probability_flow"),
        ("annealed_langevin", {"corrector_steps": 3, "denoise": "none"}),
        ("pc", {"corrector_steps": 2, "denoise": "last_mean"}),
        ("pc", {"corrector": "none", "denoise": "last_mean"}),
        ("pc", {"corrector_steps": 2, "order": "predictor_first", "denoise": "none"}),
        ("pndm", {"kind": "s", "denoise": "none"}),
        ("deis", {"order": 4}),
        ("deis", {"order": 4, "full_start": False}),
    ],
)
def test_nfe_is_the_number_of_evaluations(name, options, key, uncompiled):
    calls = []

    def network(params, x, noise_condition, condition):
        calls.append(1)
        return 0.3 * x

    if name == "gotta_go_fast":
        options = {"rtol": 0.3, "atol": 0.3}
    elif name == "annealed_langevin":
        options = {"corrector_steps": 3, **options}
    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    steps = {} if name in ADAPTIVE else {"steps": 5}
    sampler = samplers.get(name, **options)
    samples = samplers.sample(key, sampler, denoiser, (1, 3), **steps)
    assert jnp.isfinite(samples.x).all()
    assert samples.nfe.tolist() == [len(calls)]
    if name not in ADAPTIVE:
        assert sampler.steps_within(len(calls)) == 5 and sampler.steps_within(len(calls) - 1) == 4


def test_no_step_within_the_evaluations():
    assert samplers.get("heun").steps_within(100) == 49
    with pytest.raises(UsageError, match="not enough for one step"):
        samplers.get("heun").steps_within(2)


@pytest.mark.parametrize("name, options", [("pc", {"steps": 7}), ("probability_flow", {})])
def test_the_compiled_program_evaluates_as_often(name, options, key):
    calls = []

    def count(_):
        calls.append(1)
        return np.float32(0)

    def network(params, x, noise_condition, condition):
        # It must depend on x, or XLA hoists the call out of the corrector's loop.
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return 0.3 * x + jax.pure_callback(count, shape, x.ravel()[0], vmap_method="sequential")

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    samples = samplers.sample(key, samplers.get(name), denoiser, (1, 3), **options)
    samples.x.block_until_ready()
    assert samples.nfe.tolist() == [len(calls)]


def test_trajectory_records_every_kth_state(key, uncompiled):
    denoiser = Denoiser(sdes.VP(), Noise(), linear, None)
    sampler = samplers.get("euler_maruyama", denoise="none")

    def draw(**options):
        return samplers.sample(key, sampler, denoiser, (4, 3), steps=10, **options)

    full, sparse, none = draw(trajectory=True), draw(trajectory=4), draw()
    assert full.trajectory.shape == (11, 4, 3) and none.trajectory is None
    np.testing.assert_array_equal(full.x, none.x)
    np.testing.assert_array_equal(full.trajectory[-1], full.x)
    np.testing.assert_array_equal(sparse.trajectory, full.trajectory[jnp.array([0, 4, 8, 10])])
    reduced = draw(trajectory=4, record=lambda x: {"first": x[0], "mean": x.mean()}).trajectory
    np.testing.assert_array_equal(reduced["first"], sparse.trajectory[:, 0])
    np.testing.assert_allclose(reduced["mean"], sparse.trajectory.mean(axis=(1, 2)), atol=1e-6)


def test_temperature_scales_the_prior(key):
    denoiser, sampler = Denoiser(sdes.VE(), Noise(), linear, None), samplers.get("euler")
    full, half, again = (
        samplers.sample(key, sampler, denoiser, (5, 2), steps=4, temperature=temperature).x
        for temperature in (1.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(half, 0.5 * full, rtol=1e-4)  # the flow is linear here
    np.testing.assert_array_equal(full, again)


def test_the_progress_bar_reaches_the_end_and_changes_nothing(key, capfd):
    denoiser, sampler = Denoiser(sdes.VP(), Noise(), linear, None), samplers.get("euler_maruyama")
    steps = {"steps": 200, "trajectory": 50}
    shown = samplers.sample(key, sampler, denoiser, (5, 2), **steps, progress=True)
    assert "100/100" in capfd.readouterr().err and not _bars
    silent = samplers.sample(key, sampler, denoiser, (5, 2), **steps)
    assert shown.trajectory.shape == (5, 5, 2)
    # Another program, which may round otherwise (it does with jax 0.12).
    np.testing.assert_allclose(shown.x, silent.x, rtol=1e-5)
    np.testing.assert_allclose(shown.trajectory, silent.trajectory, rtol=1e-5)


def test_one_program_serves_all_numbers_of_steps(key):
    traced = []

    def network(params, x, noise_condition, condition):
        traced.append(x.shape)
        return 0.3 * x

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    sampler = samplers.get("ddim")
    nfe = [
        samplers.sample(key, sampler, denoiser, (1, 3), steps=steps).nfe.item()
        for steps in (3, 10, 1000)
    ]
    assert nfe == [4, 11, 1001]
    assert len(traced) == 2  # in the step and in the final denoising


def test_the_memory_of_x_init_is_given_away_only_on_request(key):
    denoiser, x = Denoiser(sdes.VP(), Noise(), squash, None), jax.random.normal(key, (2, 3))
    draw = functools.partial(samplers.sample, key, samplers.get("ddim"), denoiser, steps=3)
    kept = draw(x_init=x).x
    assert not x.is_deleted()
    np.testing.assert_array_equal(draw(x_init=x, donate=True).x, kept)
    assert x.is_deleted()


def test_states_stay_float32_around_a_bfloat16_network(key, uncompiled):
    def network(params, x, noise_condition, condition):
        return 0.3 * x.astype(jnp.bfloat16)

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    samples = samplers.sample(key, samplers.get("unipc"), denoiser, (4, 3), steps=5, trajectory=1)
    assert samples.x.dtype == samples.trajectory.dtype == jnp.float32


@pytest.mark.parametrize("double", [False, True])
def test_states_have_jaxs_own_precision(double, key):
    """Whatever they are started from."""
    starts = {
        "shape": (2, 3),
        "x_init": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
        "integers": np.ones((2, 3), np.uint8),
        "bfloat16": jnp.ones((2, 3), jnp.bfloat16),
    }
    with jax.enable_x64(double):
        denoiser, sampler = Denoiser(sdes.VP(), Noise(), squash, None), samplers.get("pc")
        for name, value in starts.items():
            start = {"shape" if name == "shape" else "x_init": value}
            draw = functools.partial(samplers.sample, key, sampler, denoiser, **start, steps=2)
            x = jax.eval_shape(draw).x
            assert x.dtype == (jnp.float64 if double else jnp.float32), name


@pytest.mark.parametrize("sde", [sdes.VP(), sdes.RectifiedFlow(), sdes.learned_vp()])
def test_edm_runs_within_a_compiled_program(sde, key):
    """Although its grid depends on the process, and even where that is an argument."""

    def draw(key, denoiser):
        return samplers.sample(key, samplers.get("edm"), denoiser, (2, 3), steps=3).x

    denoiser = Denoiser(sde, Noise(), squash, None)
    assert jax.eval_shape(draw, key, denoiser).shape == (2, 3)
    assert jax.eval_shape(functools.partial(draw, denoiser=denoiser), key).shape == (2, 3)


def test_the_prior_is_that_of_the_first_time(key, uncompiled):
    sde, sampler = sdes.VE(), samplers.get("euler")
    denoiser = Denoiser(sde, Noise(), linear, None)

    def first(*grid):
        return samplers.sample(key, sampler, denoiser, (4, 3), grid=grid, trajectory=1).trajectory[
            0
        ]

    expected = first(1.0, 0.4) * sde.sigma(0.5) / sde.sigma_max
    np.testing.assert_allclose(first(0.5, 0.4), expected, rtol=1e-5)


@pytest.mark.parametrize("name, options", [("ddim", {"steps": 5}), ("probability_flow", {})])
def test_labels_reach_the_network_sample_by_sample(name, options, key):
    def network(params, x, noise_condition, condition):
        return x - params[condition["label"]][:, None]

    denoiser = Denoiser(sdes.VP(), Noise(), network, jnp.array([0.0, 5.0]))

    def draw(*labels):
        labels = jnp.array(labels)
        return samplers.sample(
            key, samplers.get(name), denoiser, (3, 2), condition={"label": labels}, **options
        ).x

    zeros, ones, mixed = draw(0, 0, 0), draw(1, 1, 1), draw(0, 1, 1)
    assert (abs(zeros - ones) > 1).all()
    np.testing.assert_array_equal(mixed, jnp.where(jnp.array([[0], [1], [1]]), ones, zeros))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: samplers.get("pcc"), "Unknown sampler 'pcc'"),
        (lambda: samplers.get("pc", snrr=0.1), "no option 'snrr'"),
        (lambda: samplers.get("pc", predictor="heun2"), "Unknown predictor"),
        (lambda: samplers.get("pc", predictor="euler_maruyama", variance="forward"), "variance"),
        (
            lambda: samplers.get("pc", predictor="ancestral_sampling", probability_flow=True),
            "no probability-flow form",
        ),
        (lambda: samplers.get("pc", snr=-1.0), "snr > 0"),
        (lambda: samplers.get("pc", predictor="none", corrector="none"), "needs a predictor or"),
        (lambda: samplers.get("pc", predictor=samplers.Heun(), denoise="last_mean"), "last_mean"),
        (lambda: samplers.get("annealed_langevin", denoise="last_mean"), "last_mean"),
        (lambda: samplers.get("euler_maruyama", denoise="yes"), "Unknown denoise"),
        (lambda: samplers.get("heun", denoise="last_mean"), "Unknown denoise"),
        (lambda: samplers.get("probability_flow", method="euler"), "Unknown ODE method"),
        (lambda: samplers.get("gotta_go_fast", rtol=0.0), "rtol > 0"),
    ],
)
def test_mistakes_in_a_sampler(call, message):
    with pytest.raises(UsageError, match=message):
        call()


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
def test_mistakes_in_a_call(name, arguments, message, mixture, key):
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


def test_every_sampler_has_a_line_that_says_what_it_is():
    lines = [sampler.__doc__.split("\n")[0] for sampler in samplers.SAMPLERS.values()]
    assert len(set(lines)) == len(lines)
    assert all(30 < len(line) < 100 and line.endswith(".") for line in lines)
