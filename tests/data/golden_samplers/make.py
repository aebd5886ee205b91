"""How samplers.npz was made: the schedulers of diffusers on an analytic denoiser.

    pip install torch==2.13.0 diffusers==0.42.1 numpy
    python make.py

Every scheduler is run, in its own arithmetic, on the exact noise prediction of a mixture of three
Gaussians (computed here from its formula, in float64), along its own grid or a given one. For each
case the file holds, with the case's name in front:

    rho     the noise levels sigma / alpha visited, first to last
    x       the state at the first of them, [8, 2]
    y       the state at the last, before any final denoising

Tests do not import this file.
"""

import pathlib

import diffusers
import numpy as np
import torch

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])
COVARIANCES = np.array([np.eye(2) * 0.05, np.diag([0.1, 0.04]), [[0.05, 0.03], [0.03, 0.05]]])

TABLE = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
}
BETAS = np.linspace(1e-4, 0.02, 1000)
TABLE_RHO = np.sqrt(1 / np.cumprod(1 - BETAS) - 1)


def noise(x, alpha, sigma):
    """E[noise | alpha x_0 + sigma noise = x] for x [n, 2]."""
    total, responsibilities, noises = 0, [], []
    for weight, mean, covariance in zip(WEIGHTS, MEANS, COVARIANCES):
        variance = alpha**2 * covariance + sigma**2 * np.eye(2)
        whitened = np.linalg.solve(variance, (x - alpha * mean).T).T
        exponent = -0.5 * np.sum((x - alpha * mean) * whitened, axis=1)
        responsibilities.append(weight * np.exp(exponent) / np.sqrt(np.linalg.det(variance)))
        noises.append(sigma * whitened)
        total = total + responsibilities[-1]
    return sum((r / total)[:, None] * n for r, n in zip(responsibilities, noises))


def variance_preserving(rho):
    """(alpha, sigma) at the noise level rho."""
    return 1 / np.sqrt(1 + rho**2), rho / np.sqrt(1 + rho**2)


def start(alpha, sigma):
    """Eight noisy points of the mixture."""
    generator = np.random.default_rng(0)
    which = generator.choice(3, size=8, p=WEIGHTS)
    x0 = np.array([generator.multivariate_normal(MEANS[k], COVARIANCES[k]) for k in which])
    return alpha * x0 + sigma * generator.normal(size=(8, 2))


def run(scheduler, x, levels, output, keep, **options):
    """The states before the steps numbered `keep`: (level, state) each.

    `levels(i)` is the noise level at which step i evaluates, `output(x, level)` what the scheduler
    is fed for it.
    """
    kept = []
    scheduler.is_scale_input_called = True  # the states are scaled here
    for i, t in enumerate(scheduler.timesteps):
        if i in keep:
            kept.append((levels(i), x.numpy()))
        if i == max(keep):  # the rest is the last step, to no noise
            return kept
        fed = torch.from_numpy(output(x.numpy(), levels(i)))
        x = scheduler.step(fed, t, x, **options).prev_sample
    raise AssertionError("a state to keep was not reached")


def multistep(scheduler, steps, rho=None, every=1, **options):
    """A scheduler of the multistep kind, on states alpha x_0 + sigma noise."""
    scheduler.set_timesteps(steps)
    if rho is not None:
        scheduler.sigmas = torch.cat([torch.as_tensor(rho), torch.zeros(1)])
    levels = scheduler.sigmas.numpy().astype(np.float64)
    x = torch.from_numpy(start(*variance_preserving(levels[0])))
    kept = run(
        scheduler,
        x,
        lambda i: levels[i],
        lambda x, rho: noise(x, *variance_preserving(rho)),
        range(0, len(scheduler.timesteps), every),
        **options,
    )
    return [rho for rho, _ in kept], kept[0][1], kept[-1][1]


def scaled(scheduler, steps, every=1):
    """A scheduler on scaled states x / alpha = x_0 + rho noise; returned as alpha times them."""
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.numpy().astype(np.float64)
    x = torch.from_numpy(start(1.0, levels[0]))
    kept = run(
        scheduler,
        x,
        lambda i: levels[i],
        lambda x, rho: noise(x, 1.0, rho),
        range(0, len(scheduler.timesteps), every),
    )
    rho = [level for level, _ in kept]
    first, last = (variance_preserving(level)[0] for level in (rho[0], rho[-1]))
    return rho, kept[0][1] * first, kept[-1][1] * last


def table(scheduler, steps, every, keep):
    """A scheduler that looks its noise levels up by the number of the level."""
    scheduler.set_timesteps(steps)
    numbers = scheduler.timesteps.numpy()
    x = torch.from_numpy(start(*variance_preserving(TABLE_RHO[numbers[0]])))
    kept = run(
        scheduler,
        x,
        lambda i: TABLE_RHO[numbers[i]],
        lambda x, rho: noise(x, *variance_preserving(rho)),
        keep(numbers),
    )
    return [rho for rho, _ in kept], kept[0][1], kept[-1][1]


def edm(scheduler, steps):
    """A scheduler with EDM's preconditioning, sigma(t) = t, fed so that it reads the exact x_0."""
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.numpy().astype(np.float64)
    data = scheduler.config.sigma_data

    def output(x, sigma):
        x0 = x - sigma * noise(x, 1.0, sigma)
        skip = data**2 / (sigma**2 + data**2)
        return (x0 - skip * x) * np.sqrt(sigma**2 + data**2) / (sigma * data)

    x = torch.from_numpy(start(1.0, levels[0]))
    kept = run(scheduler, x, lambda i: levels[i], output, range(steps))
    return [rho for rho, _ in kept], kept[0][1], kept[-1][1]


def flow(scheduler, steps, every=1):
    """A scheduler of rectified flow, x = (1 - sigma) x_0 + sigma noise, from sigma = 1."""
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.numpy().astype(np.float64)

    def velocity(x, sigma):
        e = noise(x, 1 - sigma, sigma)
        return e - ((x - sigma * e) / (1 - sigma) if sigma < 1 else WEIGHTS @ MEANS)

    x = torch.from_numpy(start(0.0, 1.0))
    kept = run(
        scheduler, x, lambda i: levels[i], velocity, range(0, len(scheduler.timesteps), every)
    )
    with np.errstate(divide="ignore"):
        rho = [sigma / np.float64(1 - sigma) for sigma, _ in kept]
    return rho, kept[0][1], kept[-1][1]


UNIFORM_RHO = np.exp(np.linspace(np.log(100.0), np.log(0.05), 21))
dpm = {"final_sigmas_type": "zero", **TABLE}
CASES = {
    "ddim": table(
        diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, **TABLE),
        20,
        1,
        lambda numbers: range(len(numbers)),
    ),
    # Its first three steps are four evaluations each.
    "pndm_f": table(
        diffusers.PNDMScheduler(skip_prk_steps=False, **TABLE),
        20,
        1,
        lambda numbers: [0, 4, 8, *range(12, len(numbers))],
    ),
    "edm_heun": scaled(diffusers.HeunDiscreteScheduler(**TABLE), 20, every=2),
    "dpm_solver_2": multistep(
        diffusers.DPMSolverSinglestepScheduler(
            algorithm_type="dpmsolver", final_sigmas_type="sigma_min", **TABLE
        ),
        21,
        UNIFORM_RHO,
        every=2,
    ),
    "dpm_solver_pp_2s": multistep(
        diffusers.DPMSolverSinglestepScheduler(algorithm_type="dpmsolver++", **dpm),
        21,
        UNIFORM_RHO,
        every=2,
    ),
    "dpm_solver_pp_2m": multistep(diffusers.DPMSolverMultistepScheduler(**dpm), 20),
    "sde_dpm_solver_pp_2m": multistep(
        diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **dpm),
        20,
        variance_noise=torch.zeros(8, 2),
    ),
    "unipc_2": multistep(
        diffusers.UniPCMultistepScheduler(solver_order=2, lower_order_final=False, **dpm), 20
    ),
    "unipc_3": multistep(
        diffusers.UniPCMultistepScheduler(solver_order=3, lower_order_final=False, **dpm), 20
    ),
    "unipc_2_bh1": multistep(
        diffusers.UniPCMultistepScheduler(
            solver_order=2, solver_type="bh1", lower_order_final=False, **dpm
        ),
        20,
    ),
    # Its predictor alone.
    "unip_3": multistep(
        diffusers.UniPCMultistepScheduler(
            solver_order=3, lower_order_final=False, disable_corrector=list(range(20)), **dpm
        ),
        20,
    ),
    "deis_2": multistep(
        diffusers.DEISMultistepScheduler(solver_order=2, lower_order_final=False, **TABLE), 20
    ),
    "deis_3": multistep(
        diffusers.DEISMultistepScheduler(solver_order=3, lower_order_final=False, **TABLE), 20
    ),
    "edm_euler": edm(diffusers.EDMEulerScheduler(), 20),
    "edm_dpm_solver_pp_2m": edm(diffusers.EDMDPMSolverMultistepScheduler(), 20),
    "flow_euler": flow(diffusers.FlowMatchEulerDiscreteScheduler(), 20),
    "flow_heun": flow(diffusers.FlowMatchHeunDiscreteScheduler(), 20, every=2),
}

arrays = {}
for name, (rho, x, y) in CASES.items():
    assert np.isfinite(y).all() and len(rho) > 9, name
    arrays |= {f"{name}/rho": rho, f"{name}/x": x, f"{name}/y": y}
np.savez_compressed(pathlib.Path(__file__).parent / "samplers.npz", **arrays)
