"""The numbers of the authors' own code on a mixture, in float64; see tests/data/golden_samplers."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import analytic, samplers, sdes, times

FOLDER = pathlib.Path(__file__).parent.parent / "data" / "golden_samplers"
GRIDS = {"time_uniform": "uniform", "logSNR": "log_snr", "time_quadratic": "quadratic"}


def load(name):
    """The arrays of a file whose names are cases: algorithm|method|order|grid|..."""
    with np.load(FOLDER / name) as file:
        return {case: file[case] for case in file.files}


PUBLISHED = load("solvers_vp_mixture.npz")
FEW_STEPS = load("solvers_few_steps.npz")


def is_a_quirk(case):
    """The single-step code's own times within a step, on a grid that is not one of log-SNR."""
    _, method, order, grid, *_ = case.split("|")
    return method.startswith("single") and order != "1" and grid != "logSNR"


CASES = [case for case in PUBLISHED if case.count("|") > 2 and not is_a_quirk(case)]


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def data():
    with jax.enable_x64(True):
        return analytic.GaussianMixture(*(PUBLISHED[name] for name in ("weights", "means", "covs")))


def sampler_of(case, **options):
    """Ours of that name, and its evaluations a step."""
    algorithm, method, order, *_ = case.split("|")
    family, *kind = algorithm.split("_")
    if family == "unipc":
        prediction = {"x0": "data", "eps": "noise"}[kind[1]]
        options |= {"order": int(order), "variant": kind[0], "prediction": prediction}
        return samplers.get("unipc", **options), 1
    plus = "_pp" if family == "dpmsolver++" else ""
    if method == "multistep":
        prediction = "data" if plus else "noise"
        return samplers.get(f"dpm_solver_pp_{order}m", prediction=prediction, **options), 1
    if order == "1":
        return samplers.get("dpm_solver_1"), 1
    return samplers.get(f"dpm_solver{plus}_{order}" + "s" * bool(plus)), int(order)


def check(case, sampler, steps, expected, data, any_process, walk):
    grid = times.make_grid(sdes.VP(t_min=1e-3), steps, GRIDS[case.split("|")[3]])
    x = jnp.asarray(PUBLISHED["x_init"][:8])  # as many as in test_orders.py: the same programs
    ours = walk(sampler, x, grid, data.denoiser(any_process("vp")))
    np.testing.assert_allclose(ours, expected[:8], atol=1e-9, rtol=0)


def is_unlike_others(case):
    """Not of first order, which all have in common, nor the other B(h) of the same order."""
    method, _, order, *_ = case.split("|")
    return order != "1" and (order == "3" or "bh1" not in method)


@pytest.mark.parametrize("case", covering(CASES, is_unlike_others))
def test_the_solvers_are_their_authors(case, data, any_process, walk):
    """By default, what the papers' code does by default."""
    sampler, evaluations = sampler_of(case)
    steps = int(case.split("|")[4]) // evaluations
    check(case, sampler, steps, PUBLISHED[case], data, any_process, walk)


@pytest.mark.parametrize("case", FEW_STEPS)
def test_the_last_steps_of_few_have_lower_order_by_default(case, data, any_process, walk):
    *_, steps, lower = case.split("|")
    options = {} if lower == "True" else {"lower_order_final": False}
    sampler, _ = sampler_of(case, **options)
    check(case, sampler, int(steps), FEW_STEPS[case], data, any_process, walk)


def test_edms_sampler_is_its_authors(data, key):
    """N - 1 steps and the last one, to no noise, which is the final denoising."""
    denoiser = data.denoiser(sdes.EDM(t_min=0.002, t_max=80.0))
    drawn = samplers.sample(
        key, samplers.get("edm"), denoiser, x_init=80 * PUBLISHED["x_init"], steps=9
    )
    np.testing.assert_allclose(drawn.x, PUBLISHED["edm_heun|rho7|10"], atol=1e-9, rtol=0)


def test_ddim_is_its_authors(data, key):
    """Through the driver, on the uniform grid."""
    sampler, denoiser = samplers.get("ddim", denoise="none"), data.denoiser(sdes.VP(t_min=1e-3))
    drawn = samplers.sample(
        key, sampler, denoiser, x_init=PUBLISHED["x_init"], steps=10, grid="uniform"
    )
    np.testing.assert_allclose(drawn.x, PUBLISHED["ddim|time_uniform|10"], atol=1e-9, rtol=0)


def test_a_step_much_longer_than_the_last_is_of_first_order_only_on_request(data, walk):
    """As the last one of a grid uniform in t."""
    denoiser, x = data.denoiser(sdes.VP()), jnp.asarray(PUBLISHED["x_init"][:8])
    grid = times.make_grid(sdes.VP(t_min=1e-4), 20, "uniform")
    guarded = samplers.get("dpm_solver_pp_2m", max_step_ratio=4.0)
    before_the_last = walk(guarded, x, grid[:-1], denoiser)
    expected = walk(samplers.get("ddim"), before_the_last, grid[-2:], denoiser)
    np.testing.assert_allclose(walk(guarded, x, grid, denoiser), expected, atol=1e-9)
    published = walk(samplers.get("dpm_solver_pp_2m"), x, grid, denoiser)
    assert abs(published - expected).max() > 0.01
