"""Times: the distributions that training draws from, and the grids that samplers step along."""

from scoresde.times.distributions import (
    DISTRIBUTIONS,
    LikelihoodImportance,
    LogNormal,
    Stratified,
    Uniform,
    stratified_uniforms,
)
from scoresde.times.ends import (
    is_traced,
    require_flow,
    require_noise,
    starts_at_finite_log_snr,
)
from scoresde.times.grids import (
    GRIDS,
    EDMGrid,
    LogSNRGrid,
    QuadraticGrid,
    UniformGrid,
    make_grid,
)
from scoresde.times.levels import BetweenLevels, Discrete, LossSecondMoment
from scoresde.times.respacing import RespacedGrid, respaced_grid, respaced_levels

__all__ = [
    "DISTRIBUTIONS",
    "GRIDS",
    "BetweenLevels",
    "Discrete",
    "EDMGrid",
    "LikelihoodImportance",
    "LogNormal",
    "LogSNRGrid",
    "LossSecondMoment",
    "QuadraticGrid",
    "RespacedGrid",
    "Stratified",
    "Uniform",
    "UniformGrid",
    "is_traced",
    "make_grid",
    "require_flow",
    "require_noise",
    "respaced_grid",
    "respaced_levels",
    "starts_at_finite_log_snr",
    "stratified_uniforms",
]
