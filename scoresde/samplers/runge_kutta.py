"""Explicit Runge-Kutta steps of the probability flow in t (arXiv:2011.13456, equation 13).

dx/dt = alpha' E[x_0 | x] + sigma' E[noise | x], along a fixed grid.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from scoresde.denoiser import require_continuous_time
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.times import require_flow


@dataclasses.dataclass(frozen=True, kw_only=True)
class RungeKutta(GridSampler):
    """Stage i is the slope k_i = v(x + c_i dt k_{i-1}, t + c_i dt);  x_s = x + dt sum b_i k_i.

    This form, in which a stage starts from the slope before it alone, has all methods below.
    """

    nodes: ClassVar[tuple[float, ...]]  # c_i, the fraction of the step at which stage i is
    weights: ClassVar[tuple[float, ...]]  # b_i

    @property
    def evaluations(self):
        return len(self.nodes)

    def check(self, denoiser):
        require_continuous_time(denoiser, "A solver of the probability-flow ODE in t")

    def check_last(self, sde, t):
        if self.nodes[-1] == 1:  # a stage at the end of the step
            require_flow(sde, t)

    def step(self, keys, x, t, s, denoiser, carry):
        def stage(state, coefficients):  # a scan, so that the network is compiled once
            slope, total = state
            c, b = coefficients
            slope = denoiser.velocity(x + c * (s - t) * slope, (1 - c) * t + c * s)
            return (slope, total + b * slope), None

        coefficients = jnp.array(self.nodes, x.dtype), jnp.array(self.weights, x.dtype)
        start = jnp.zeros_like(x), jnp.zeros_like(x)
        (_, total), _ = jax.lax.scan(stage, start, coefficients)
        return x + (s - t) * total, carry


class Euler(RungeKutta):
    """Euler's method for the probability flow in t: order 1, one evaluation a step."""

    nodes, weights = (0.0,), (1.0,)


class Heun(RungeKutta):
    """Heun's method for the probability flow in t: order 2, two evaluations a step."""

    nodes, weights = (0.0, 1.0), (0.5, 0.5)


class RK4(RungeKutta):
    """The classical Runge-Kutta method for the probability flow in t: order 4, four evaluations."""

    nodes, weights = (0.0, 0.5, 0.5, 1.0), (1 / 6, 1 / 3, 1 / 3, 1 / 6)
