"""The probability-flow ODE with adaptive steps (arXiv:2011.13456, section 4.3).

dx/dt = f x - g^2 score / 2 has the marginals of the SDE at every t, is deterministic, and runs in
both directions: from the prior to data, and from data to its latent.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import ode
from scoresde.condition import Condition, check_condition, one_by_one
from scoresde.denoiser import (
    BaseDenoiser,
    check_denoiser,
    require_continuous_time,
    velocity_of_one,
)
from scoresde.meshes import automatic
from scoresde.samplers.arguments import as_states
from scoresde.samplers.interface import Sampler, Samples
from scoresde.sdes import expand
from scoresde.times import make_grid, require_flow


def flow(
    denoiser: BaseDenoiser,
    x: Array,
    condition: Condition,
    start: float | Array,
    end: float | Array,
    **options: Any,
) -> tuple[Array, ode.Stats]:
    """Carries x [batch, ...] along the probability flow from time `start` to `end`.

    Args:
        denoiser: the denoiser.
        x: states at `start`.
        condition: of the samples; each is handed its own part.
        start: a time within the process's range.
        end: likewise, in either direction.
        **options: of `scoresde.ode.solve`.

    Returns:
        What `scoresde.ode.solve` returns.
    """

    def velocity(t, x, condition):
        return velocity_of_one(denoiser, x, t, condition)

    return ode.solve(velocity, x, start, end, args=one_by_one(condition), **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbabilityFlow(Sampler):
    """Samples by integrating the probability flow from the prior, each sample with its own steps.

    The grid only says where a trajectory is recorded; without one, no number of steps is needed.
    With denoise="none" it decodes what `encode` encoded.

    Attributes:
        rtol: relative tolerance.
        atol: absolute tolerance, in units of x.
        method: a name of `scoresde.ode.METHODS`.
        max_steps: bound on the steps of a sample.
    """

    adaptive: ClassVar[bool] = True

    rtol: float = 1e-5
    atol: float = 1e-5
    method: str = "dopri5"
    max_steps: int = 10_000

    def __post_init__(self):
        super().__post_init__()
        ode.check(self.method, rtol=self.rtol, atol=self.atol)

    def check(self, denoiser):
        require_continuous_time(denoiser, "The probability-flow ODE")

    def check_last(self, sde, t):
        require_flow(sde, t)

    def times(self, sde, steps, grid):  # by default just the two ends
        return make_grid(sde, 1 if steps is None and grid is None else steps, grid)

    def run(self, keys, x, times, steps, denoiser, condition, constraint, observer):
        options = {name: getattr(self, name) for name in ("rtol", "atol", "method", "max_steps")}
        start, end, trajectory = times[0], times[steps], None
        if observer.every is None:
            x, stats = flow(denoiser, x, condition, start, end, **options)
        else:
            kept = jnp.minimum(jnp.arange(observer.records) * observer.every, steps)
            states, stats = flow(
                denoiser, x, condition, start, end, save_times=times[kept], **options
            )
            states = jnp.moveaxis(states, 1, 0)
            x, trajectory = states[-1], jax.lax.map(observer.reduce, states)
        x = self.denoise(x, end, denoiser.given(condition), self)
        nfe = stats.nfe + self.denoise.evaluations(self)
        return Samples(jnp.where(expand(stats.finished, x), x, jnp.nan), nfe, trajectory)


@functools.partial(jax.jit, static_argnames=("options",))
def _encode(denoiser, x, condition, options):
    sde = denoiser.sde
    return flow(denoiser, x, condition, sde.t_min, sde.t_max, **dict(options))


def encode(
    denoiser: BaseDenoiser,
    x: Array,
    *,
    condition: Condition = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    method: str = "dopri5",
) -> tuple[Array, ode.Stats]:
    """The latent of x [batch, ...]: the probability flow from t_min to t_max.

    `ProbabilityFlow(denoise="none")` with x_init = the latent decodes it again.
    """
    ode.check(method, rtol=rtol, atol=atol)
    check_denoiser(denoiser)
    denoiser, x, condition = automatic((denoiser, x, condition))
    require_continuous_time(denoiser, "The probability-flow ODE")
    require_flow(denoiser.sde, denoiser.sde.t_min)
    options = {"rtol": rtol, "atol": atol, "method": method}
    x = as_states(x)
    condition = check_condition(condition, len(x), denoiser)
    return _encode(denoiser, x, condition, tuple(options.items()))
