"""The driver: counts, trajectories, progress, programs, precision."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde import times as times_grids
from scoresde.denoiser import Denoiser
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
    [
        *((name, {}) for name in samplers.SAMPLERS if name != "probability_flow"),
        ("annealed_langevin", {"corrector_steps": 3, "denoise": "none"}),
        ("pc", {"corrector_steps": 2, "denoise": "last_mean"}),
        ("pc", {"corrector": "none", "denoise": "last_mean"}),
        ("pc", {"corrector_steps": 2, "order": "predictor_first", "denoise": "none"}),
        ("pndm", {"kind": "s", "denoise": "none"}),
        ("deis", {"order": 4}),
        ("deis", {"order": 4, "full_start": False}),
        ("dpm_solver_pp_3m", {"full_order": True}),
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


def test_a_sampler_has_a_grid_that_suits_it():
    vp, flow = sdes.VP(), sdes.RectifiedFlow()
    for name, sde, grid in (
        ("edm", vp, "edm"),
        ("dpm_solver_pp_2m", vp, "log_snr"),
        ("dpm_solver_pp_2m", sdes.EDM(), "log_snr"),
        ("dpm_solver_pp_2m", flow, "log_snr"),
        ("edm", flow, "uniform"),  # its log-SNR is infinite
        ("ddim", vp, "uniform"),
        ("ddim", sdes.EDM(), "edm"),
    ):
        expected = times_grids.make_grid(sde, 6, grid)
        np.testing.assert_array_equal(samplers.get(name).times(sde, 6, None), expected)
    named = samplers.get("dpm_solver_pp_2m").times(vp, 6, "uniform")
    np.testing.assert_array_equal(named, times_grids.make_grid(vp, 6, "uniform"))


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


def test_temperature_and_grid_may_be_traced(key):
    """As in a program that is differentiated, or mapped, with respect to them."""
    denoiser, sampler = Denoiser(sdes.VP(), Noise(), squash, None), samplers.get("ddim")

    def draw(temperature, grid):
        return samplers.sample(key, sampler, denoiser, (2, 3), temperature=temperature, grid=grid).x

    traced, times = jax.jit(draw), jnp.array([1.0, 0.6, 0.2])
    np.testing.assert_allclose(traced(0.7, times), draw(0.7, times), rtol=1e-5)
    rho = jax.eval_shape(lambda rho: draw_on(times_grids.EDMGrid(rho=rho), key, denoiser), 7.0)
    assert rho.shape == (2, 3)


def draw_on(grid, key, denoiser, **options):
    options = {"steps": 3, **options}
    return samplers.sample(key, samplers.get("ddim"), denoiser, (2, 3), grid=grid, **options).x


def test_what_cannot_be_traced_is_refused_in_words(key):
    denoiser = Denoiser(sdes.VP(), Noise(), squash, None)
    with pytest.raises(UsageError, match="must be known before a program is compiled"):
        jax.eval_shape(lambda steps: draw_on("uniform", key, denoiser, steps=steps), 3)
    with pytest.raises(UsageError, match="x_init replaces them"):
        x = jnp.zeros((2, 3))
        jax.eval_shape(lambda t: draw_on(None, key, denoiser, x_init=x, temperature=t), 1.0)


def test_every_sampler_has_a_line_that_says_what_it_is():
    lines = [sampler.__doc__.split("\n")[0] for sampler in samplers.SAMPLERS.values()]
    assert len(set(lines)) == len(lines)
    assert all(30 < len(line) < 100 and line.endswith(".") for line in lines)
