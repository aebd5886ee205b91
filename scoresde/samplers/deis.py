"""DEIS (Zhang and Chen 2022, arXiv:2204.13902): exponential Adams-Bashforth for the noise."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np

from scoresde.registry import UsageError
from scoresde.samplers.exponential import (
    Multistep,
    extrapolate,
    half_log_snr,
    noise_correction,
    noise_step,
    weights,
)

# Gauss-Legendre quadrature on [0, 1].
_POINTS, _POINT_WEIGHTS = np.polynomial.legendre.leggauss(16)
_POINTS, _POINT_WEIGHTS = 0.5 + 0.5 * _POINTS, 0.5 * _POINT_WEIGHTS


def _time_weights(history, sde, t, s):
    """alpha_s int l_k(t(rho)) d rho from rho_t to rho_s, one row for each length of the history.

    rho = sigma / alpha: as a function of it, x / alpha has the noise for its derivative. The
    Lagrange polynomials l_k are in t.
    """
    rho_t, rho_s = jnp.exp(-half_log_snr(sde, t)), jnp.exp(-half_log_snr(sde, s))
    rho = rho_t + (rho_s - rho_t) * jnp.asarray(_POINTS, rho_t.dtype)
    tau = sde.time_of_log_snr(-2 * jnp.log(rho))
    scale = sde.alpha(s) * (rho_s - rho_t) * jnp.asarray(_POINT_WEIGHTS, rho_t.dtype)
    nodes, zero = list(history.nodes), jnp.zeros(())
    rows = [[], [zero]]
    for n in range(2, len(nodes) + 1):
        row = [zero]
        for k in range(1, n):
            others = [node for j, node in enumerate(nodes[:n]) if j != k]
            polynomial = math.prod((tau - node) / (nodes[k] - node) for node in others)
            row.append(jnp.sum(scale * polynomial))
        rows.append(row)
    return rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class DEIS(Multistep):
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
        if self.variable not in ("t", "log_rho"):
            raise UsageError(f"Unknown variable {self.variable!r}. Known: t, log_rho.")

    def step(self, keys, x, t, s, denoiser, carry):
        sde, prediction = denoiser.sde, denoiser(x, t)
        if self.variable == "t":
            history = carry.push(prediction.noise, t)

            def multistep():
                return history.combine(0, _time_weights(history, sde, t, s))
        else:
            lambda_t = half_log_snr(sde, t)
            h = half_log_snr(sde, s) - lambda_t
            history = carry.push(prediction.noise, lambda_t)

            def multistep():
                return -sde.sigma(s) * extrapolate(history, h, 1, weights)

        correction = self.correct(
            history, lambda: noise_correction(denoiser, prediction, t, s, self.order - 1), multistep
        )
        x = noise_step(sde, prediction, prediction.noise, t, s) + correction
        return x, x, history
