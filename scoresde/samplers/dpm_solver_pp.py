"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095), the single-step methods: the data prediction.

With h = lambda_s - lambda_t of a step from t to s, and D the data prediction,

    2S    u   = sigma_m / sigma_t x - alpha_m (e^(-r h) - 1) D(x, t)                    r = 1/2
          x_s = sigma_s / sigma_t x - alpha_s (e^(-h) - 1) ((1 - 1 / 2r) D(x, t) + 1 / 2r D(u, m))

    3S    is DPM-Solver-3 with the data in place of the noise; the paper leaves it to the code.

The times within a step are at r (1/2), and r1 and r2 (1/3, 2/3) of it in lambda. The grid has equal
steps in log-SNR, unless another is named. There the authors' code is the same to the digit; on one
of equal steps in t it places the times within a step at equal distances in t instead, which is not
in the paper.
"""

from jax.numpy import expm1

from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.log_snr import step_size, time_between


class DPMSolverPP2S(GridSampler):
    """DPM-Solver++(2S) (arXiv:2211.01095, algorithm 1): order 2, two evaluations a step."""

    default_grid = "log_snr"

    @property
    def evaluations(self):
        return 2

    def step(self, keys, x, t, s, denoiser, carry):
        sde, h, r = denoiser.sde, step_size(denoiser.sde, t, s), 1 / 2
        m = time_between(sde, t, s, r)
        D = denoiser(x, t).x0
        u = sde.sigma(m) / sde.sigma(t) * x - sde.alpha(m) * expm1(-r * h) * D
        D = (1 - 1 / (2 * r)) * D + 1 / (2 * r) * denoiser(u, m).x0
        return sde.sigma(s) / sde.sigma(t) * x - sde.alpha(s) * expm1(-h) * D, carry


class DPMSolverPP3S(GridSampler):
    """DPM-Solver++(3S), as in its authors' code: order 3, three evaluations a step."""

    default_grid = "log_snr"

    @property
    def evaluations(self):
        return 3

    def step(self, keys, x, t, s, denoiser, carry):
        sde, h, r1, r2 = denoiser.sde, step_size(denoiser.sde, t, s), 1 / 3, 2 / 3
        t1, t2 = time_between(sde, t, s, r1), time_between(sde, t, s, r2)
        D = denoiser(x, t).x0

        def first_order(s, h):
            return sde.sigma(s) / sde.sigma(t) * x - sde.alpha(s) * expm1(-h) * D

        u1 = first_order(t1, r1 * h)
        D1 = denoiser(u1, t1).x0 - D
        u2 = first_order(t2, r2 * h)
        u2 += sde.alpha(t2) * r2 / r1 * (expm1(-r2 * h) / (r2 * h) + 1) * D1
        D2 = denoiser(u2, t2).x0 - D
        return first_order(s, h) + sde.alpha(s) / r2 * (expm1(-h) / h + 1) * D2, carry
