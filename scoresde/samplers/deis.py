"""DEIS (Zhang and Chen 2022, arXiv:2204.13902): exponential Adams-Bashforth for the noise."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.denoiser import BaseDenoiser
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.samplers.exponential import weights
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.history import History
from scoresde.samplers.log_snr import (
    ddim,
    half_log_snr,
    noise_change,
    step_size,
    time_between,
)

# Gauss-Legendre quadrature on [0, 1].
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(16)
_POINTS, _POINT_WEIGHTS = 0.5 + 0.5 * _POINTS, 0.5 * _POINT_WEIGHTS


def _time_weights(nodes, sde, t, s):
    """alpha_s int l_k(t(rho)) d rho from rho_t to rho_s, of all nodes but the newest.

    rho = sigma / alpha: as a function of it, x / alpha has the noise for its derivative. The
    Lagrange polynomials l_k are in t.
    """
    rho_t, rho_s = jnp.exp(-half_log_snr(sde, t)), jnp.exp(-half_log_snr(sde, s))
    rho = rho_t + (rho_s - rho_t) * jnp.asarray(_POINTS, rho_t.dtype)
    tau = sde.time_of_log_snr(-2 * jnp.log(rho))
    scale = sde.alpha(s) * (rho_s - rho_t) * jnp.asarray(_POINT_WEIGHTS, rho_t.dtype)
    found = []
    for k in range(1, len(nodes)):
        others = [node for j, node in enumerate(nodes) if j != k]
        polynomial = math.prod((tau - node) / (nodes[k] - node) for node in others)
        found.append(jnp.sum(scale * polynomial))
    return found


def _log_rho_weights(nodes, sde, t, s):
    """The same for Lagrange polynomials in the log-SNR."""
    h = step_size(sde, t, s)
    theta = [(node - nodes[0]) / h for node in nodes[1:]]
    return [-sde.sigma(s) * weight for weight in weights(theta, h, 1)] if theta else []


# By the name of the variable: the weights, and the variable as a function of t.
_VARIABLES = {
    "t": (_time_weights, lambda sde, t: t),
    "log_rho": (_log_rho_weights, half_log_snr),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DEIS(GridSampler):
    """tAB-DEIS: Adams-Bashforth for the noise with exact coefficients, one evaluation a step.

    The noise prediction is extrapolated by the polynomial through its values at the last `order`
    times, of degree order - 1, which names it tAB(order - 1) in the paper; order 1 is DDIM.

    Attributes:
        order: number of values, and order of convergence; from 1 to 4.
        variable: what the polynomial is in: "t" (tAB) or "log_rho", the log-SNR.
        full_start: whether the first order - 2 steps, which have fewer values, are single steps of
            order - 1 with order - 2 more evaluations each; else they have a lower order, as
            published, and unless they are short, the whole has order 2.
    """

    order: int = 3
    variable: str = "t"
    full_start: bool = True

    def __post_init__(self):
        super().__post_init__()
        if self.order not in (1, 2, 3, 4):
            raise UsageError(f"deis has orders 1 to 4, not {self.order}.")
        if self.variable not in _VARIABLES:
            raise UsageError(f"Unknown variable {self.variable!r}. Known: {', '.join(_VARIABLES)}.")

    @property
    def default_grid(self):
        return "log_snr" if self.variable == "log_rho" else None

    @property
    def _single_steps(self):
        return max(0, self.order - 2) if self.full_start else 0

    def total_evaluations(self, steps):
        return steps + self._single_steps * jnp.minimum(steps, self._single_steps)

    def init(self, x, denoiser, steps):
        return History.empty(x, self.order, steps)

    def step(self, keys, x, t, s, denoiser, carry):
        sde, prediction = denoiser.sde, denoiser(x, t)
        weights_of, variable = _VARIABLES[self.variable]
        history = carry.push(prediction.noise, variable(sde, t))

        def adams_bashforth():
            rows = [
                [0 * t, *weights_of(history.nodes[:n], sde, t, s)] for n in range(1, self.order + 1)
            ]
            return history.combine(0, history.order(self.order, False), [[], *rows])

        def runge_kutta():
            return _within(denoiser, prediction, t, s, self.order - 1)

        if not self._single_steps:
            added = adams_bashforth()
        else:
            starting = history.taken <= self._single_steps
            added = jax.lax.cond(starting, runge_kutta, adams_bashforth)
        return ddim(sde, prediction, s) + added, history


def _within(
    denoiser: BaseDenoiser, prediction: Prediction, t: Array, s: Array, order: int
) -> Array:
    """What evaluations within the step from t to s add to DDIM, for a step of order 2 or 3.

    Exponential Runge-Kutta: every evaluation starts from the one before it, as in DPM-Solver-3
    (arXiv:2206.00927, algorithm 2). `prediction` is that at t.
    """
    sde, h, before, change = denoiser.sde, step_size(denoiser.sde, t, s), None, None
    for r in {2: (1 / 2,), 3: (1 / 3, 2 / 3)}[order]:
        between = time_between(sde, t, s, r)
        x = ddim(sde, prediction, between)
        if before is not None:
            x -= sde.sigma(between) * weights([before / r], r * h, 1)[0] * change
        noise = denoiser(x, between).noise
        before, change = r, noise_change(sde, prediction, noise, t, s)
    return -sde.sigma(s) * weights([before], h, 1)[0] * change
