"""PNDM (Liu et al. 2022, arXiv:2202.09778): classical methods with DDIM in Euler's place."""

import dataclasses

import jax
import jax.numpy as jnp

from scoresde.registry import UsageError
from scoresde.samplers.grid_sampler import GridSampler
from scoresde.samplers.history import History
from scoresde.samplers.log_snr import noise_step

# By kind: Adams-Bashforth weights, newest first; then nodes and weights of the Runge-Kutta method
# of the first steps, as many as the Adams-Bashforth method needs values from before.
_KINDS = {
    "s": ((3 / 2, -1 / 2), (0.0, 1.0), (1 / 2, 1 / 2)),
    "f": (
        (55 / 24, -59 / 24, 37 / 24, -9 / 24),
        (0.0, 1 / 2, 1 / 2, 1.0),
        (1 / 6, 1 / 3, 1 / 3, 1 / 6),
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PNDM(GridSampler):
    """PNDM: pseudo linear multistep after pseudo Runge-Kutta steps, order 2.

    The noise is averaged as the classical method averages slopes, and the step with that average is
    DDIM's. The weights are those of equal steps in t; the average ignores how DDIM's weight varies
    within a step, so that the order is 2 for both kinds (theorem 3.1).

    Attributes:
        kind: "f" (F-PNDM): 4 values, after 3 steps of 4 evaluations; "s" (S-PNDM): 2 values, after
            1 step of 2 evaluations. One evaluation a step from then on.
    """

    kind: str = "f"

    def __post_init__(self):
        super().__post_init__()
        if self.kind not in _KINDS:
            raise UsageError(f"Unknown kind {self.kind!r}. Known: {', '.join(_KINDS)}.")

    def total_evaluations(self, steps):
        multistep, nodes, _ = _KINDS[self.kind]
        return steps + (len(nodes) - 1) * jnp.minimum(steps, len(multistep) - 1)

    def init(self, x, denoiser, steps):
        return History.empty(x, len(_KINDS[self.kind][0]), steps)

    def step(self, keys, x, t, s, denoiser, carry):
        multistep, nodes, weights = (jnp.array(row, x.dtype) for row in _KINDS[self.kind])
        sde, prediction = denoiser.sde, denoiser(x, t)
        history = carry.push(prediction.noise, t)

        def runge_kutta():
            def stage(state, coefficients):  # a scan, so that the network is compiled once
                noise, total = state
                node, weight = coefficients
                time = (1 - node) * t + node * s
                noise = denoiser(noise_step(sde, prediction, noise, t, time), time).noise
                return (noise, total + weight * noise), None

            first = prediction.noise, weights[0] * prediction.noise
            return jax.lax.scan(stage, first, (nodes[1:], weights[1:]))[0][1]

        def adams_bashforth():
            return jnp.tensordot(multistep, history.values, 1)

        starting = history.taken < len(multistep)
        noise = jax.lax.cond(starting, runge_kutta, adams_bashforth)
        return noise_step(sde, prediction, noise, t, s), history
