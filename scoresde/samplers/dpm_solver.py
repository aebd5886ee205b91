"""DPM-Solver and DPM-Solver++, the single-step methods.

Lu et al. 2022, arXiv:2206.00927 (exponential Runge-Kutta methods for the noise prediction) and
arXiv:2211.01095 (for the data prediction). Intermediate evaluations lie between the times of the
grid, at fractions of the step in log-SNR.
"""

from typing import ClassVar

from scoresde.samplers.driver import GridSampler
from scoresde.samplers.exponential import (
    data_step,
    noise_correction,
    noise_step,
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
        prediction = denoiser(x, t)
        x = noise_step(denoiser.sde, prediction, prediction.noise, t, s)
        x += noise_correction(denoiser, prediction, t, s, order=3)
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
