"""The adaptive solver of the reverse SDE of "Gotta Go Fast" (arXiv:2105.14080)."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import require_continuous_time
from scoresde.keys import fold_in, normal
from scoresde.registry import UsageError
from scoresde.samplers.interface import Sampler, Samples
from scoresde.sdes import expand
from scoresde.times import make_grid, require_noise

# A sample remembers as many points of its Brownian path; beyond that, the farthest is forgotten.
_POINTS = 8


class KnownNoise(NamedTuple):
    """The points of the Brownian path ahead that rejected steps have revealed, in no order.

    Attributes:
        ahead: how far ahead they are, [points, batch]; the first is now, 0; infinite where unused.
        w: the increments up to there, [points, batch, ...].
    """

    ahead: Array
    w: Array

    @classmethod
    def nothing(cls, x: Array) -> "KnownNoise":
        """Only now is known, for states like x [batch, ...]."""
        ahead = jnp.full((_POINTS, len(x)), jnp.inf, x.dtype).at[0].set(0.0)
        return cls(ahead, jnp.zeros((_POINTS, *x.shape), x.dtype))

    def draw(self, h: Array, z: Array) -> Array:
        """The increment over the step h [batch], from standard normal z [batch, ...].

        A Brownian bridge between the known points next to h; free if none is beyond it.
        """

        def w_at(index):
            return jnp.take_along_axis(self.w, expand(index[None], self.w), axis=0)[0]

        before = self.ahead <= h
        earlier = jnp.where(before, self.ahead, -1.0)
        later = jnp.where(before, jnp.inf, self.ahead)
        start, w_start = jnp.max(earlier, axis=0), w_at(jnp.argmax(earlier, axis=0))
        end, w_end = jnp.min(later, axis=0), w_at(jnp.argmin(later, axis=0))
        share = (h - start) / (end - start)  # 0 if the end is infinitely far
        std = jnp.sqrt((h - start) * (1 - share))
        return w_start + expand(share, z) * (w_end - w_start) + expand(std, z) * z

    def after(self, accept: Array, h: Array, w: Array) -> "KnownNoise":
        """What is known after the step h with increment w was accepted [batch], or rejected."""
        beyond = self.ahead > h
        moved = KnownNoise(
            jnp.where(beyond, self.ahead - h, jnp.inf).at[0].set(0.0),
            jnp.where(expand(beyond, self.w), self.w - w, 0.0),
        )
        number = jnp.arange(_POINTS)[:, None]
        farthest = number == jnp.argmax(self.ahead, axis=0)
        kept = KnownNoise(
            jnp.where(farthest, h, self.ahead), jnp.where(expand(farthest, self.w), w, self.w)
        )
        return jax.tree.map(lambda a, b: jnp.where(expand(accept[None], a), a, b), moved, kept)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GottaGoFast(Sampler):
    """The adaptive SDE solver of "Gotta Go Fast", every sample with its own steps.

    Algorithm 1 of Jolicoeur-Martineau et al. 2021: an Euler-Maruyama step x', a second one from
    there with the same noise, their average x'' (stochastic improved Euler); the difference of x'
    and x'' is the error, and x'' is kept where it is small. Two evaluations an attempt.

    Unlike the paper's, a rejected step does not throw its noise away, which would favor steps
    whose noise happens to be small, at every tolerance: what it has revealed of the Brownian path
    is remembered, and later steps draw their noise given that (rejection sampling with memory,
    Rackauckas and Nie 2017), at the cost of a few more states in memory.

    Attributes:
        rtol: relative tolerance; the paper uses 0.01 (precise) to 0.5 (fast).
        atol: absolute tolerance, in units of x; the paper uses the distance of two gray levels:
            2/256 for data in [-1, 1], 1/256 in [0, 1].
        first_step: of the attempted steps, as a fraction of the range of t.
        exponent: r; the next step is safety * step * error^-r.
        safety: theta.
        max_steps: bound on the attempts of a sample.
    """

    adaptive: ClassVar[bool] = True

    rtol: float = 0.01
    atol: float = 2 / 256
    first_step: float = 0.01
    exponent: float = 0.9
    safety: float = 0.9
    max_steps: int = 10_000

    def __post_init__(self):
        super().__post_init__()
        for name in ("rtol", "atol", "first_step", "exponent", "safety", "max_steps"):
            if not getattr(self, name) > 0:
                raise UsageError(f"gotta_go_fast needs {name} > 0, got {getattr(self, name)}.")

    def check(self, denoiser):
        require_continuous_time(denoiser, "An adaptive solver of the reverse SDE")

    def check_last(self, sde, t):
        require_noise(sde, t, "An adaptive solver of the reverse SDE")

    def times(self, sde, steps, grid):  # the two ends count; a number of steps is not needed
        return make_grid(sde, 1 if steps is None and grid is None else steps, grid)

    def run(self, keys, x, times, steps, denoiser, condition, constraint, observer):
        if observer.every is not None:
            raise UsageError("gotta_go_fast has no common times; it records no trajectory.")
        denoiser = denoiser.given(condition)
        sde, start, end = denoiser.sde, times[0], times[steps]

        def increment(x, t, h, w):
            """What an Euler-Maruyama step h from x at t adds, with the Brownian increment w."""
            drift = expand(sde.drift_rate(t), x) * x
            diffusion_squared = expand(sde.diffusion_squared(t), x)
            drift = drift - diffusion_squared * denoiser.score(x, t)
            return -expand(h, x) * drift + jnp.sqrt(diffusion_squared) * w

        def unfinished(state):
            number, t = state[0], state[3]
            return jnp.any(t > end) & (number < self.max_steps)

        def attempt(state):
            number, x, previous, t, h, known, nfe = state
            active = t > end
            s = jnp.where(h >= t - end, end, t - h)  # ends exactly
            w = known.draw(t - s, normal(fold_in(keys, number), x.shape, x.dtype))
            first = increment(x, t, t - s, w)
            second = increment(x + first, s, t - s, w)

            scale = jnp.maximum(jnp.abs(previous), jnp.abs(x + first))
            tolerance = jnp.maximum(self.atol, self.rtol * scale)
            square = (0.5 * (second - first) / tolerance) ** 2
            error = jnp.sqrt(jnp.mean(jnp.reshape(square, (len(x), -1)), axis=1))

            accept = active & (error <= 1)
            moved = expand(accept, x)
            previous = jnp.where(moved, x + first, previous)
            x = jnp.where(moved, x + 0.5 * (first + second), x)
            observer.progress(
                (start - jnp.max(t)) / (start - end),
                (start - jnp.max(jnp.where(accept, s, t))) / (start - end),
            )
            known = known.after(accept, t - s, w)
            t = jnp.where(accept, s, t)
            # Derivatives are of the path taken: its steps are no function of x.
            error = jax.lax.stop_gradient(error)
            # An error that is not a number, from a step far too long, shortens the next the most.
            growth = jnp.clip(jnp.nan_to_num(error**-self.exponent, nan=0.0), 0.1, 1e3)
            h = jnp.where(active, self.safety * growth * h, h)
            return number + 1, x, previous, t, h, known, nfe + 2 * active

        batch = x.shape[:1]
        state = (
            jnp.int32(0),
            x,
            x,
            jnp.full(batch, start),
            jnp.full(batch, self.first_step * (start - end)),
            KnownNoise.nothing(x),
            jnp.zeros(batch, jnp.int32),
        )
        _, x, _, t, _, _, nfe = jax.lax.while_loop(unfinished, attempt, state)
        x, nfe = self.denoise(x, end, denoiser, self), nfe + self.denoise.evaluations(self)
        return Samples(jnp.where(expand(t > end, x), jnp.nan, x), nfe)
