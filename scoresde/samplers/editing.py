"""SDEdit: a guide, noised to a time on the way and denoised from there (arXiv:2108.01073)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from scoresde import plain
from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser, check_denoiser
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.observations import Inpainting
from scoresde.registry import UsageError
from scoresde.samplers.arguments import as_states, check_sampler
from scoresde.samplers.driver import sample
from scoresde.samplers.interface import Sampler, Samples
from scoresde.sdes import SDE
from scoresde.times import is_traced, make_grid

# Folded into a sample's key for the noise of its guide; the driver and steps fold in others.
_NOISE = 2**31 - 3

# The process's own grid is divided so finely to find a time on it.
_FINE = 1000


def time_of_strength(sde: SDE, strength: float) -> float:
    """The time at this part of the way from the data, at t_min, to the prior, at t_max.

    The way is the process's own grid: of VP, VE, sub-VP and rectified flow uniform in t, so that
    strength is t0 of the paper; of EDM that of its sampler.

    Args:
        sde: the process.
        strength: 0 .. 1.

    Raises:
        UsageError: a strength beyond that.
    """
    plain.check("strength", strength, float)
    if not 0 <= strength <= 1:
        raise UsageError(f"strength must be 0 .. 1, got {strength}.")
    times = np.asarray(make_grid(sde, _FINE, None), float)[::-1]
    return float(np.interp(strength, np.linspace(0, 1, _FINE + 1), times))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeptPixels:
    """A constraint: where the condition "keep" is 1, x is the condition's "guide" with new noise.

    At the time that x has after the move; the published code takes the time before it.
    """

    sde: SDE

    def __call__(self, keys: Array, x: Array, t: Array, condition: Condition) -> Array:
        z = normal(keys, x.shape, x.dtype)
        return jnp.where(_kept(x, condition), self.sde.perturb(condition["guide"], z, t), x)


def _kept(x, condition):
    return Inpainting().mask(x, {"mask": condition["keep"]})


def sdedit(
    key: Array,
    sampler: Sampler,
    denoiser: BaseDenoiser,
    guide: Array,
    *,
    strength: float = 0.5,
    keep: ArrayLike | None = None,
    repeats: int = 1,
    condition: Condition = None,
    steps: int | None = None,
    grid: Any = None,
) -> Samples:
    """Samples near a guide: strokes, a collage, an image to be changed.

    The guide is noised to the time t0 of `time_of_strength`, and the sampler goes from there, along
    what its grid has below t0, so that it takes about strength times `steps` steps. The more
    noise, the more are samples like the data and the less like the guide. Strength 0 is the guide
    itself; at 1 nothing is left of it but alpha(t_max). The paper takes 0.3 to 0.6.

    For Gaussian data N(m, C), with alpha and sigma at t0 and G = alpha C (alpha^2 C + sigma^2)^-1,
    samples of the exact score by a stochastic sampler have the mean m + alpha G (guide - m) and
    the covariance C - alpha G C + sigma^2 G G^T.

    Args:
        key: one key, or one for each sample, [batch].
        sampler: what `samplers.get` returns.
        denoiser: a denoiser, guided or not.
        guide: [batch, ...] in the range of the data.
        strength: 0 .. 1, or its time for the process, as `time_of_strength` has it.
        keep: 1 where the guide is to stay as it is, [batch, ...] like the guide or without
            channels; None for nowhere. The kept pixels are in their place after every move, with
            the noise of its time, and at the end as they are. It needs a sampler with steps along
            a grid.
        repeats: how often; the result is the guide of the next time. 0 is the guide itself.
        condition: what is known of each sample, [batch, ...] by name.
        steps: of the whole grid, see `samplers.sample`; also grid.
        grid: likewise.

    Returns:
        Samples; nfe are of all repeats.

    Raises:
        UsageError: a strength or repeats out of range, a mask of another size, or as `sample`.
    """
    check_sampler(sampler)
    check_denoiser(denoiser)
    plain.check("repeats", repeats, int)
    if repeats < 0:
        raise UsageError(f"repeats must not be negative, got {repeats}.")
    guide, sde = as_states(guide), denoiser.sde
    keys, constraint = sample_keys(key, len(guide)), None
    times = _times_below(sampler, denoiser, time_of_strength(sde, strength), steps, grid)
    if keep is not None:
        keep = jnp.asarray(keep)
        kept = _kept(guide, {"keep": keep})  # which refuses one of another size
        constraint = KeptPixels(sde)
        condition = {**(condition or {}), "guide": guide, "keep": keep}
    drawn = Samples(guide, jnp.zeros(len(guide), jnp.int32))
    for number in range(repeats if len(times) > 1 else 0):
        own = fold_in(keys, number)
        noise = normal(fold_in(own, _NOISE), guide.shape, guide.dtype)
        x = sde.perturb(drawn.x, noise, jnp.full(len(guide), times[0], guide.dtype))
        new = sample(
            own, sampler, denoiser, x_init=x, grid=times, condition=condition, constraint=constraint
        )
        x = new.x if keep is None else jnp.where(kept, guide, new.x)
        drawn = Samples(x, drawn.nfe + new.nfe)
    return drawn


def _times_below(sampler, denoiser, start, steps, grid):
    """The times of the sampler's grid from `start` on, and itself; only it where none is below."""
    sde = denoiser.sde
    times = sampler.times(sde, steps, grid)
    if is_traced(times):
        raise UsageError("The grid must be known before a program is compiled.")
    times = np.asarray(times)
    if denoiser.trained_levels is not None:  # there is nothing between them
        start = times[np.abs(times - start).argmin()]
    # A time hardly below is the same one, rounded.
    near = 1e-6 * (times[0] - times[-1])
    below = times[times < start - near] if start - times[-1] > near else times[:0]
    return np.concatenate([[start], below]).astype(times.dtype)
