"""How solvers_few_steps.npz was made: the authors' code with few steps, the last of lower order.

    pip install torch==2.13.0 numpy
    curl -O https://raw.githubusercontent.com/LuChengTHU/dpm-solver/52bc3fb/dpm_solver_pytorch.py
    curl -O https://raw.githubusercontent.com/wl-zhao/UniPC/cf9de85/uni_pc.py
    python make_few_steps.py

On the mixture and from the states of solvers_vp_mixture.npz, in float64. The names are
`algorithm|multistep|order|grid|steps|lower_order_final`; see README.md. Tests do not import this
file.
"""

import pathlib

import dpm_solver_pytorch
import numpy as np
import torch
import uni_pc

FOLDER = pathlib.Path(__file__).parent
STEPS, GRID, ROWS = 6, "time_uniform", 8

torch.set_default_dtype(torch.float64)
with np.load(FOLDER / "solvers_vp_mixture.npz") as file:
    WEIGHTS, MEANS, COVARIANCES, X = (
        torch.from_numpy(file[name]) for name in ("weights", "means", "covs", "x_init")
    )
SCHEDULE = dpm_solver_pytorch.NoiseScheduleVP(
    "linear", continuous_beta_0=0.1, continuous_beta_1=20.0, dtype=torch.float64
)


def noise(x, t):
    """E[noise | x_t = x] of the mixture, for x [n, 2, ...] and one time."""
    shape, x, t = x.shape, x.reshape(-1, 2), t.reshape(-1)[0]
    log_alpha = -0.25 * t**2 * 19.9 - 0.5 * t * 0.1
    alpha, sigma = torch.exp(log_alpha), torch.sqrt(-torch.expm1(2 * log_alpha))
    logits, noises = [], []
    for weight, mean, covariance in zip(WEIGHTS, MEANS, COVARIANCES):
        variance = alpha**2 * covariance + sigma**2 * torch.eye(2)
        whitened = torch.linalg.solve(variance, (x - alpha * mean).T).T
        square = torch.sum((x - alpha * mean) * whitened, dim=1)
        logits.append(torch.log(weight) - 0.5 * square - 0.5 * torch.logdet(variance))
        noises.append(sigma * whitened)
    responsibilities = torch.softmax(torch.stack(logits), dim=0)
    return sum(r[:, None] * n for r, n in zip(responsibilities, noises)).reshape(shape)


def main():
    """Writes the file."""
    arrays, x = {}, X[:ROWS]
    for order in (2, 3):
        common = {"steps": STEPS, "order": order, "t_end": 1e-3, "skip_type": GRID}
        for lower in (True, False):
            case = f"multistep|{order}|{GRID}|{STEPS}|{lower}"
            options = {**common, "method": "multistep", "lower_order_final": lower}
            for algorithm in ("dpmsolver", "dpmsolver++"):
                solver = dpm_solver_pytorch.DPM_Solver(noise, SCHEDULE, algorithm_type=algorithm)
                arrays[f"{algorithm}|{case}"] = solver.sample(x, **options).numpy()
            for name, algorithm in (("x0", "data_prediction"), ("eps", "noise_prediction")):
                solver = uni_pc.UniPC(noise, SCHEDULE, algorithm_type=algorithm, variant="bh2")
                y = solver.sample(x.reshape(-1, 2, 1, 1), **options)  # it knows images only
                arrays[f"unipc_bh2_{name}|{case}"] = y.reshape(-1, 2).numpy()
    np.savez_compressed(FOLDER / "solvers_few_steps.npz", **arrays)


if __name__ == "__main__":
    main()
