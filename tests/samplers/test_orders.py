"""Convergence of the deterministic solvers: measured orders, and agreement with diffusers."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering
from scipy import integrate

from scoresde import analytic, samplers, sdes
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "golden_samplers" / "samplers.npz"

FULL = {"lower_order_final": False}  # a last step of order 1 would leave the whole at order 2

# Sampler, options, order, and the variable in which the grid is smooth.
SOLVERS = [
    ("euler_maruyama", {"probability_flow": True}, 1, "t"),
    ("reverse_diffusion", {"probability_flow": True}, 1, "t"),
    ("euler", {}, 1, "t"),
    ("heun", {}, 2, "t"),
    ("rk4", {}, 4, "t"),
    ("edm", {}, 2, "log_snr"),
    ("ddim", {}, 1, "log_snr"),
    ("dpm_solver_1", {}, 1, "log_snr"),
    ("dpm_solver_2", {}, 2, "log_snr"),
    ("dpm_solver_3", {}, 3, "log_snr"),
    ("dpm_solver_pp_2s", {}, 2, "log_snr"),
    ("dpm_solver_pp_3s", {}, 3, "log_snr"),
    ("dpm_solver_pp_2m", {}, 2, "log_snr"),
    ("dpm_solver_pp_2m", {"prediction": "noise"}, 2, "log_snr"),
    ("dpm_solver_pp_3m", {}, 2, "log_snr"),
    ("dpm_solver_pp_3m", {"prediction": "noise"}, 2, "log_snr"),
    ("dpm_solver_pp_3m", {"full_order": True}, 3, "log_snr"),
    ("dpm_solver_pp_3m", {"full_order": True, "prediction": "noise"}, 3, "log_snr"),
    ("unipc", {"order": 1}, 2, "log_snr"),
    ("unipc", {"order": 2}, 2, "log_snr"),
    ("unipc", {"order": 2, **FULL}, 3, "log_snr"),
    ("unipc", {"order": 2, "variant": "bh1", **FULL}, 3, "log_snr"),
    ("unipc", {"order": 3, **FULL}, 4, "log_snr"),
    ("unipc", {"order": 2, "prediction": "noise", **FULL}, 3, "log_snr"),
    ("deis", {"order": 1}, 1, "log_snr"),
    ("deis", {"order": 2}, 2, "log_snr"),
    ("deis", {"order": 3}, 3, "log_snr"),
    ("deis", {"order": 4}, 4, "log_snr"),
    ("deis", {"order": 2, "variable": "log_rho"}, 2, "log_snr"),
    ("deis", {"order": 3, "variable": "log_rho"}, 3, "log_snr"),
    ("deis", {"order": 4, "variable": "log_rho"}, 4, "log_snr"),
    ("pndm", {"kind": "s"}, 2, "log_snr"),
    ("pndm", {"kind": "f"}, 2, "log_snr"),
]

# The case in the file, the process it is of, our sampler and its options. Samplers in log-SNR only
# see that alpha^2 + sigma^2 = 1, as for cosine; PNDM's stages need the times of DDPM's table.
CASES = {
    "ddim": ("cosine", "ddim", {}),
    "pndm_f": (None, "pndm", {}),
    "edm_heun": ("cosine", "edm", {}),
    "dpm_solver_2": ("cosine", "dpm_solver_2", {}),
    "dpm_solver_pp_2s": ("cosine", "dpm_solver_pp_2s", {}),
    "dpm_solver_pp_2m": ("cosine", "dpm_solver_pp_2m", {}),
    "sde_dpm_solver_pp_2m": ("cosine", "sde_dpm_solver_pp_2m", {}),
    "unip_3": ("cosine", "dpm_solver_pp_3m", {"full_order": True}),
    "unipc_2": ("cosine", "unipc", {"order": 2, **FULL}),
    "unipc_2_bh1": ("cosine", "unipc", {"order": 2, "variant": "bh1", **FULL}),
    "unipc_3": ("cosine", "unipc", {"order": 3, **FULL}),
    "deis_2": ("cosine", "deis", {"order": 2, "variable": "log_rho"}),
    "deis_3": ("cosine", "deis", {"order": 3, "variable": "log_rho"}),
    "edm_euler": ("edm", "ddim", {}),
    "edm_dpm_solver_pp_2m": ("edm", "dpm_solver_pp_2m", {}),
    "flow_euler": ("rectified_flow", "euler", {}),
    "flow_heun": ("rectified_flow", "heun", {}),
}

CONTINUOUS = ("vp", "subvp", "ve", "edm", "cosine", "rectified_flow")
NOISY, CLEAN = -4.0, 3.0  # log-SNR of the first and the last time


def label(value):
    if not isinstance(value, dict):
        return None
    return "-".join(f"{k}={v}" if isinstance(v, bool) else str(v) for k, v in value.items())


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def data():
    """The mixture of conftest.py, in double precision."""
    with jax.enable_x64(True):
        return analytic.GaussianMixture(
            [0.5, 0.3, 0.2],
            [[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]],
            [np.eye(2) * 0.05, np.diag([0.1, 0.04]), [[0.05, 0.03], [0.03, 0.05]]],
        )


@pytest.fixture(scope="module")
def problems(data, any_process):
    """For each process: denoiser, where to start, and where the exact flow ends."""

    velocity = jax.jit(lambda denoiser, x, t: denoiser.velocity(x, t))

    def end(denoiser, x, times):
        def rhs(t, x):
            return np.ravel(velocity(denoiser, x.reshape(8, 2), t))

        flow = integrate.solve_ivp(rhs, times, np.ravel(x), "DOP853", rtol=1e-12, atol=1e-13)
        return flow.y[:, -1].reshape(8, 2)

    problems = {}
    with jax.enable_x64(True):
        key = jax.random.key(1)
        for name in CONTINUOUS:
            sde = any_process(name)
            noise = jax.random.normal(key, (8, 2), jnp.float64)
            times = sde.time_of_log_snr(jnp.array([NOISY, CLEAN]))
            x = sde.perturb(data.sample(key, 8), noise, jnp.full(8, times[0]))
            denoiser = data.denoiser(sde)
            problems[name] = denoiser, x, end(denoiser, x, times)
    return problems


def make_grid(sde, steps, variable):
    u = np.linspace(0, 1, steps + 1)
    if variable == "t":
        first, last = sde.time_of_log_snr(jnp.array([NOISY, CLEAN]))
        return first + (last - first) * u
    return sde.time_of_log_snr(jnp.asarray(NOISY + (CLEAN - NOISY) * u))


def one_of_each(case):
    name, options, *_ = case
    return (
        not {"prediction", "variable", "variant"} & options.keys() and name != "reverse_diffusion"
    )


@pytest.mark.parametrize(
    "name, options, order, variable", covering(SOLVERS, one_of_each), ids=label
)
def test_order_of_convergence(name, options, order, variable, problems, walk):
    sampler = samplers.get(name, **options)
    measured = {}
    for process, (denoiser, x, truth) in problems.items():
        errors = []
        for steps in (160, 320):
            times = make_grid(denoiser.sde, steps, variable)
            errors.append(np.sqrt(np.mean((walk(sampler, x, times, denoiser) - truth) ** 2)))
        assert errors[1] > 1e-11  # above the rounding
        measured[process] = float(np.log2(errors[0] / errors[1]))
    assert max(abs(value - order) for value in measured.values()) < 0.25, measured


@pytest.mark.parametrize("case", CASES)
def test_agreement_with_diffusers(case, data, any_process, walk):
    """The same numbers as another library's scheduler, on its own grid."""
    process, name, options = CASES[case]
    with np.load(GOLDEN) as file:
        rho, x, y = (jnp.asarray(file[f"{case}/{part}"]) for part in ("rho", "x", "y"))
    sde = any_process(process) if process else sdes.DiscreteVP()
    times = sde.time_of_log_snr(-2 * jnp.log(rho))
    ours = walk(samplers.get(name, **options), x, times, data.denoiser(sde))
    np.testing.assert_allclose(ours, y, atol=1e-5)


@pytest.mark.parametrize(
    "name, options",
    [("unipc", {"order": 4}), ("unipc", {"variant": "bh3"}), ("deis", {"order": 0}),
     ("deis", {"variable": "x"}), ("pndm", {"kind": "g"}), ("ddim", {"eta": 2}),
     ("edm", {"s_churn": -1})],
)  # fmt: skip
def test_impossible_options_are_refused(name, options):
    with pytest.raises(UsageError):
        samplers.get(name, **options)
