"""Times: the distributions that training draws from, and the grids that samplers step along."""

from scoresde.times.distributions import (
    DISTRIBUTIONS,
    Discrete,
    LikelihoodImportance,
    LogNormal,
    Stratified,
    Uniform,
    stratified_uniforms,
)
from scoresde.times.ends import is_traced, starts_at_finite_log_snr
from scoresde.times.grids import (
    GRIDS,
    edm_grid,
    log_snr_grid,
    make_grid,
    quadratic_grid,
    uniform_grid,
)

__all__ = [
    "DISTRIBUTIONS",
    "GRIDS",
    "Discrete",
    "LikelihoodImportance",
    "LogNormal",
    "Stratified",
    "Uniform",
    "edm_grid",
    "is_traced",
    "log_snr_grid",
    "make_grid",
    "quadratic_grid",
    "starts_at_finite_log_snr",
    "stratified_uniforms",
    "uniform_grid",
]
