"""A cascade of two models: samples of the one are what the other is told (Ho et al. 2021).

A base model draws small images, a model of super-resolution makes them large. It was trained on
small images of the data, and meets those of the base model: with noise of a level s that it is
told, what differs between the two is hidden (arXiv:2106.15282, section 4).

    truncated      the base model's sampling ends at s, with the noise that is there left in
    non-truncated  it is finished, and noise of level s is added to its result
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition
from scoresde.denoiser import BaseDenoiser
from scoresde.keys import fold_in, sample_keys
from scoresde.registry import UsageError
from scoresde.samplers.driver import sample
from scoresde.samplers.final import Nothing
from scoresde.samplers.interface import Sampler, Samples

# Folded into a sample's key for what is drawn of its small image, and for the noise on it.
_BASE, _TELL = 2**31 - 3, 2**31 - 4


@dataclasses.dataclass(frozen=True, kw_only=True)
class CascadeStage:
    """A model of a cascade, and how it is sampled.

    Attributes:
        sampler: what `samplers.get` returns.
        denoiser: the model.
        shape: of a sample, without the batch.
        steps: see `samplers.sample`.
        grid: likewise.
    """

    sampler: Sampler
    denoiser: BaseDenoiser
    shape: tuple[int, ...]
    steps: int | None = None
    grid: Any = None

    def sample(self, keys: Array, condition: Condition = None) -> Samples:
        """A sample for each of the keys [batch]."""
        shape, options = (len(keys), *self.shape), {"steps": self.steps, "grid": self.grid}
        return sample(keys, self.sampler, self.denoiser, shape, condition=condition, **options)

    def until(self, level: float) -> "CascadeStage":
        """The stage whose samples are x_t at t = level, with the noise of that time.

        Raises:
            UsageError: the level is none within the process.
        """
        sde = self.denoiser.sde
        if not 0 < level < sde.t_max:
            raise UsageError(
                f"A cascade is cut short at a level within 0 .. {sde.t_max}, not at {level}."
            )
        times = self.sampler.times(dataclasses.replace(sde, t_min=level), self.steps, self.grid)
        sampler = dataclasses.replace(self.sampler, denoise=Nothing())
        return dataclasses.replace(self, sampler=sampler, steps=None, grid=jnp.asarray(times))


class CascadeSamples(NamedTuple):
    """What a cascade has drawn.

    Attributes:
        small: samples of the base model; where it was cut short, with the noise that is there.
        large: samples of the other.
    """

    small: Samples
    large: Samples


def cascade(
    key: Array,
    base: CascadeStage,
    large: CascadeStage,
    tell: Callable[..., Condition],
    batch: int | None = None,
    *,
    level: float = 0.0,
    truncated: bool = False,
    condition: Condition = None,
    base_condition: Condition = None,
) -> CascadeSamples:
    """Draws `batch` samples of a cascade of two models.

    Args:
        key: one key, from which sample i gets `fold_in(key, i)`, or [batch] keys.
        base: the model of small images.
        large: the model that is told of them.
        tell: (keys, y, level=, noised=) -> what `large` is told of the small images y, as
            `Degradation.tell` of scoresde.degradations; `noised` says that y has the noise already.
        batch: number of samples; that of the keys if None.
        level: s of the noise on the small images, a time of the process of that noise.
        truncated: end the base model's sampling there; its process is that of the noise.
        condition: what else `large` is told, arrays [batch, ...] by name.
        base_condition: what `base` is told.

    Raises:
        UsageError: a level that is none, or what the samplers refuse.
    """
    if batch is None:
        batch = len(key)
    keys = sample_keys(key, batch)
    if truncated:
        base = base.until(level)
    small = base.sample(fold_in(keys, _BASE), base_condition)
    told = tell(fold_in(keys, _TELL), small.x, level=level, noised=truncated)
    return CascadeSamples(small, large.sample(keys, {**(condition or {}), **told}))
