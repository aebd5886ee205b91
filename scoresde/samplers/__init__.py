"""Samplers: a vocabulary of names, and `sample`, which runs any of them with any denoiser.

interface       what every sampler offers; the driver, `sample`, knows nothing else
grid_sampler    samplers along a grid of times, and the moves of their steps
final           the final denoising
"""

from typing import Any

from scoresde.registry import make
from scoresde.samplers.adaptive_sde import GottaGoFast
from scoresde.samplers.cascade import CascadeSamples, CascadeStage, cascade
from scoresde.samplers.correctors import CORRECTORS, AnnealedLangevin, Corrector, Langevin
from scoresde.samplers.deis import DEIS
from scoresde.samplers.dpm_multistep import DPMSolverPP2M, DPMSolverPP3M, SDEDPMSolverPP2M
from scoresde.samplers.dpm_solver import DPMSolver1, DPMSolver2, DPMSolver3
from scoresde.samplers.dpm_solver_pp import DPMSolverPP2S, DPMSolverPP3S
from scoresde.samplers.driver import sample
from scoresde.samplers.editing import KeptPixels, sdedit, time_of_strength
from scoresde.samplers.edm import EDMHeun
from scoresde.samplers.final import FINALS, Final, LastMean, Nothing, Tweedie
from scoresde.samplers.grid_sampler import GridSampler, Move
from scoresde.samplers.interface import Constraint, Sampler, Samples
from scoresde.samplers.interpolation import interpolate
from scoresde.samplers.pndm import PNDM
from scoresde.samplers.predictor_corrector import PredictorCorrector, annealed_langevin, pc
from scoresde.samplers.predictors import (
    DDIM,
    PREDICTORS,
    AncestralSampling,
    EulerMaruyama,
    Predictor,
    ReverseDiffusion,
)
from scoresde.samplers.probability_flow import ProbabilityFlow, encode
from scoresde.samplers.repaint import RePaint, resampling_schedule, undo
from scoresde.samplers.runge_kutta import RK4, Euler, Heun
from scoresde.samplers.translation import translate
from scoresde.samplers.unipc import UniPC

# The first line of each docstring says what it is.
SAMPLERS = {
    **PREDICTORS,
    "pc": pc,
    "annealed_langevin": annealed_langevin,
    "gotta_go_fast": GottaGoFast,
    "probability_flow": ProbabilityFlow,
    "euler": Euler,
    "heun": Heun,
    "rk4": RK4,
    "edm": EDMHeun,
    "dpm_solver_1": DPMSolver1,
    "dpm_solver_2": DPMSolver2,
    "dpm_solver_3": DPMSolver3,
    "dpm_solver_pp_2s": DPMSolverPP2S,
    "dpm_solver_pp_3s": DPMSolverPP3S,
    "dpm_solver_pp_2m": DPMSolverPP2M,
    "dpm_solver_pp_3m": DPMSolverPP3M,
    "sde_dpm_solver_pp_2m": SDEDPMSolverPP2M,
    "unipc": UniPC,
    "deis": DEIS,
    "pndm": PNDM,
    "repaint": RePaint,
}


def get(name: str, **options: Any) -> Sampler:
    """The sampler called `name`, with its options.

    Raises:
        UsageError: unknown name or option.
    """
    return make("sampler", SAMPLERS, name, **options)


__all__ = [
    "AncestralSampling",
    "AnnealedLangevin",
    "CORRECTORS",
    "CascadeSamples",
    "CascadeStage",
    "Constraint",
    "Corrector",
    "DDIM",
    "DEIS",
    "DPMSolver1",
    "DPMSolver2",
    "DPMSolver3",
    "DPMSolverPP2M",
    "DPMSolverPP2S",
    "DPMSolverPP3M",
    "DPMSolverPP3S",
    "EDMHeun",
    "Euler",
    "EulerMaruyama",
    "FINALS",
    "Final",
    "GottaGoFast",
    "GridSampler",
    "Heun",
    "KeptPixels",
    "Langevin",
    "LastMean",
    "Move",
    "Nothing",
    "PNDM",
    "PREDICTORS",
    "Predictor",
    "PredictorCorrector",
    "ProbabilityFlow",
    "RK4",
    "RePaint",
    "ReverseDiffusion",
    "SAMPLERS",
    "SDEDPMSolverPP2M",
    "Sampler",
    "Samples",
    "Tweedie",
    "UniPC",
    "annealed_langevin",
    "cascade",
    "encode",
    "get",
    "interpolate",
    "pc",
    "resampling_schedule",
    "sample",
    "sdedit",
    "time_of_strength",
    "translate",
    "undo",
]
