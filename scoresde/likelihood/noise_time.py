"""A time for the probability flow that is the same for all processes, and what moves in it.

A process says by t how fast it goes through the noise levels s = sigma / alpha; at the start of VP
and at the end of EDM that is too fast or too slow for a solver by orders of magnitude. In

    u = log (s + fine) / (s + coarse) = log (sigma + fine alpha) / (sigma + coarse alpha)

steps of one length suit all levels between `fine` and `coarse`, where log s is what counts; below,
u is linear in s, and above in 1/s: there is nothing to be seen, and one step passes. So u is finite
where alpha or sigma vanishes. The state is

    y = x_t / c,    c = sqrt(alpha^2 + sigma^2),
    dy/du = (v / c - (log c)' y) dt/du,    v = dx/dt,

which keeps its size. What the process does to x by itself is thereby solved exactly, as by the
exponential integrators of samplers (Lu et al. 2022, arXiv:2206.00927), and in log p it is known:
log p(x_t) = log p(y) - d log c, in d dimensions.
"""

import copy
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from scoresde.sdes import SDE

# Of data in [-1, 1]: the bins of their levels, and the most that all pixels vary together.
FINE, COARSE = 0.03, 30.0


class At(NamedTuple):
    """What the flow needs at a time, scalars.

    Attributes:
        t: the process's own time.
        speed: dt/du.
        scale: c.
        growth: d log c / dt.
    """

    t: Array
    speed: Array
    scale: Array
    growth: Array


class NoiseTime(NamedTuple):
    """The time u of a process.

    Attributes:
        sde: the process.
        t_min: the least t that is asked for; it may be less than the process's own, and traced.
        fine: the noise level below which data look as if there were none, > 0.
        coarse: the one above which nothing is seen of them, greater.
    """

    sde: SDE
    t_min: ArrayLike
    fine: float = FINE
    coarse: float = COARSE

    def of(self, t: ArrayLike) -> Array:
        """u at the process's time t."""
        alpha, sigma = self.sde.alpha(t), self.sde.sigma(t)
        return jnp.log1p((self.fine - self.coarse) * alpha / (sigma + self.coarse * alpha))

    def at(self, u: Array) -> At:
        """The process at u."""
        noise = (self.coarse * jnp.exp(u) - self.fine) / jnp.abs(jnp.expm1(u))  # inf at 0
        inverse = copy.copy(self.sde)  # whose times are clipped to its t_min
        object.__setattr__(inverse, "t_min", self.t_min)
        t = inverse.time_of_log_snr(-2 * jnp.log(jnp.maximum(noise, 0.0)))
        alpha, sigma = self.sde.alpha(t), self.sde.sigma(t)
        alpha_dot, sigma_dot = self.sde.alpha_dot(t), self.sde.sigma_dot(t)
        square = alpha**2 + sigma**2
        turn = (self.coarse - self.fine) * (alpha * sigma_dot - sigma * alpha_dot)
        return At(
            t=t,
            speed=(sigma + self.fine * alpha) * (sigma + self.coarse * alpha) / turn,
            scale=jnp.sqrt(square),
            growth=(alpha * alpha_dot + sigma * sigma_dot) / square,
        )

    def log_scale(self, t: ArrayLike) -> Array:
        """log c at the process's time t."""
        return 0.5 * jnp.log(self.sde.alpha(t) ** 2 + self.sde.sigma(t) ** 2)
