"""DPM-Solver (Lu et al. 2022, arXiv:2206.00927): exponential Runge-Kutta for the noise prediction.

In the paper's words, with h = lambda_s - lambda_t of a step from t to s and eps the noise,

    DPM-Solver-1    x_s = alpha_s / alpha_t x - sigma_s (e^h - 1) eps(x, t)                   (DDIM)

    DPM-Solver-2    u   = alpha_m / alpha_t x - sigma_m (e^(h/2) - 1) eps(x, t)
                    x_s = alpha_s / alpha_t x - sigma_s (e^h - 1) eps(u, m)

    DPM-Solver-3    u_1 = alpha_1 / alpha_t x - sigma_1 (e^(r1 h) - 1) eps(x, t)
                    D_1 = eps(u_1, t_1) - eps(x, t)
                    u_2 = alpha_2 / alpha_t x - sigma_2 (e^(r2 h) - 1) eps(x, t)
                              - sigma_2 r2 / r1 ((e^(r2 h) - 1) / (r2 h) - 1) D_1
                    D_2 = eps(u_2, t_2) - eps(x, t)
                    x_s = alpha_s / alpha_t x - sigma_s (e^h - 1) eps(x, t)
                              - sigma_s / r2 ((e^h - 1) / h - 1) D_2

where m, t_1 and t_2 are at 1/2, r1 = 1/3 and r2 = 2/3 of the step in lambda. The first two terms of
each line are DDIM, and are written like that; see `scoresde.samplers.log_snr`.

The grid has equal steps in log-SNR (section 3.2), unless another is named. There the authors' code
is the same to the digit. On one of equal steps in t it places the times within a step at equal
distances in t instead, which is not in the paper.
"""

from jax.numpy import expm1

from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.log_snr import ddim, noise_change, step_size, time_between


class DPMSolver1(GridSampler):
    """DPM-Solver-1 (arXiv:2206.00927, equation 3.7), which is DDIM: order 1."""

    default_grid = "log_snr"

    def step(self, keys, x, t, s, denoiser, carry):
        return ddim(denoiser.sde, denoiser(x, t), s), carry


class DPMSolver2(GridSampler):
    """DPM-Solver-2 (arXiv:2206.00927, algorithm 1): order 2, two evaluations a step."""

    default_grid = "log_snr"

    @property
    def evaluations(self):
        return 2

    def step(self, keys, x, t, s, denoiser, carry):
        sde, h = denoiser.sde, step_size(denoiser.sde, t, s)
        m = time_between(sde, t, s, 1 / 2)
        first = denoiser(x, t)
        u = ddim(sde, first, m)
        D = noise_change(sde, first, denoiser(u, m).noise, t, s)
        return ddim(sde, first, s) - sde.sigma(s) * expm1(h) * D, carry


class DPMSolver3(GridSampler):
    """DPM-Solver-3 (arXiv:2206.00927, algorithm 2): order 3, three evaluations a step."""

    default_grid = "log_snr"

    @property
    def evaluations(self):
        return 3

    def step(self, keys, x, t, s, denoiser, carry):
        sde, h, r1, r2 = denoiser.sde, step_size(denoiser.sde, t, s), 1 / 3, 2 / 3
        t1, t2 = time_between(sde, t, s, r1), time_between(sde, t, s, r2)
        first = denoiser(x, t)
        u1 = ddim(sde, first, t1)
        D1 = noise_change(sde, first, denoiser(u1, t1).noise, t, s)
        u2 = ddim(sde, first, t2) - sde.sigma(t2) * r2 / r1 * (expm1(r2 * h) / (r2 * h) - 1) * D1
        D2 = noise_change(sde, first, denoiser(u2, t2).noise, t, s)
        return ddim(sde, first, s) - sde.sigma(s) / r2 * (expm1(h) / h - 1) * D2, carry
