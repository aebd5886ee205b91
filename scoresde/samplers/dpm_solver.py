"""DPM-Solver and DPM-Solver++, the single-step methods.

Lu et al. 2022, arXiv:2206.00927 (exponential Runge-Kutta methods for the noise prediction) and
arXiv:2211.01095 (for the data prediction). Intermediate evaluations lie between the times of the
grid, at fractions of the step in log-SNR.
"""

from typing import ClassVar

import jax.numpy as jnp

from scoresde.samplers.driver import GridSampler
from scoresde.samplers.exponential import (
    data_step,
    emerges,
    half_log_snr,
    noise_step,
    phi,
    time_between,
)


class _SingleStep(GridSampler):
    denoise_rules: ClassVar[tuple[str, ...]] = ("tweedie", "none")


class DPMSolver1(_SingleStep):
    """DPM-Solver-1 (arXiv:2206.00927, equation 3.7), which is DDIM: order 1."""

    def step(self, keys, x, t, s, denoiser, carry):
        prediction = denoiser(x, t)
        x = noise_step(denoiser.sde, prediction, prediction.noise, t, s)
        return x, x, carry


class DPMSolver2(_SingleStep):
    """DPM-Solver-2 (arXiv:2206.00927, algorithm 1): order 2, two evaluations a step."""

    @property
    def evaluations(self):
        return 2

    def step(self, keys, x, t, s, denoiser, carry):
        sde = denoiser.sde
        middle = time_between(sde, t, s, 0.5)
        prediction = denoiser(x, t)
        halfway = noise_step(sde, prediction, prediction.noise, t, middle)
        x = noise_step(sde, prediction, denoiser(halfway, middle).noise, t, s)
        return x, x, carry


class DPMSolver3(_SingleStep):
    """DPM-Solver-3 (arXiv:2206.00927, algorithm 2): order 3, three evaluations a step."""

    @property
    def evaluations(self):
        return 3

    def step(self, keys, x, t, s, denoiser, carry):
        sde, r1, r2 = denoiser.sde, 1 / 3, 2 / 3
        t1, t2 = time_between(sde, t, s, r1), time_between(sde, t, s, r2)
        h = half_log_snr(sde, s) - half_log_snr(sde, t)
        h = jnp.where(emerges(sde, t, s), 0.0, h)  # a step out of nothing is DDIM's
        # (exp(z) - 1) / z - 1 is z phi_2(z).
        correction1 = sde.sigma(t1) * r2 / r1 * (r2 * h) * phi(2, r2 * h)[1]
        correction2 = sde.sigma(s) / r2 * h * phi(2, h)[1]

        prediction = denoiser(x, t)
        noise = prediction.noise
        x1 = noise_step(sde, prediction, noise, t, t1)
        difference1 = denoiser(x1, t1).noise - noise
        x2 = noise_step(sde, prediction, noise, t, t2) - correction1 * difference1
        difference2 = denoiser(x2, t2).noise - noise
        x = noise_step(sde, prediction, noise, t, s) - correction2 * difference2
        return x, x, carry


class DPMSolverPP2S(_SingleStep):
    """DPM-Solver++(2S) (arXiv:2211.01095, algorithm 1): order 2, two evaluations a step."""

    @property
    def evaluations(self):
        return 2

    def step(self, keys, x, t, s, denoiser, carry):
        sde = denoiser.sde
        middle = time_between(sde, t, s, 0.5)
        halfway = data_step(sde, x, denoiser(x, t).x0, t, middle)
        x = data_step(sde, x, denoiser(halfway, middle).x0, t, s)
        return x, x, carry
