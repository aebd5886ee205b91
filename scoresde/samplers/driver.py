"""The driver that every sampler runs in, and the interface of one that steps along a time grid.

The driver owns the keys (one a sample, so that a seed gives the same image at any batch size and
on any number of devices), the loop (one compiled scan), the final denoising and the count of
network evaluations. A sampler owns its step.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.denoiser import BaseDenoiser, Labelled
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.registry import UsageError
from scoresde.sdes import SDE
from scoresde.times import make_grid

# Folded into a sample's key for its prior noise; steps fold in their number, which is smaller.
_PRIOR = 2**31 - 1


class Samples(NamedTuple):
    """What a sampler returns.

    Attributes:
        x: the samples, [batch, ...], in the range of the data that the denoiser knows.
        nfe: evaluations of the denoiser that each sample took, [batch] int32.
        trajectory: None, or the states at the recorded times, [records, batch, ...], noise first;
            the final denoising is not among them.
    """

    x: Array
    nfe: Array
    trajectory: Array | None = None


def tweedie(x: Array, t: Array, denoiser: BaseDenoiser) -> Array:
    """E[x_0 | x_t] (Efron 2011): (x + sigma^2 score) / alpha."""
    return denoiser(x, t).x0


@dataclasses.dataclass(frozen=True, kw_only=True)
class GridSampler:
    """A sampler that steps along a decreasing grid of times.

    A subclass defines `step`, and `evaluations` if a step calls the denoiser other than once.

    Attributes:
        denoise: what is done with the noise left at the last time: "tweedie" takes the posterior
            mean, one more evaluation; "last_mean" the noiseless mean of one more step, to the clean
            data, as published with score_sde; "none" leaves it in.
    """

    denoise: str = "tweedie"

    def __post_init__(self):
        if self.denoise not in ("tweedie", "last_mean", "none"):
            raise UsageError(
                f"Unknown denoise {self.denoise!r}. Known: tweedie, last_mean, none."
            )

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations a step."""
        return 1

    def check(self, denoiser: BaseDenoiser) -> None:
        """Raises UsageError where the method is undefined for this denoiser."""

    def times(self, sde: SDE, steps: int | None, grid: Any) -> Array:
        """The decreasing times [steps + 1] to visit; see `scoresde.times.make_grid`."""
        return make_grid(sde, steps, grid)

    def init(self, x: Array, denoiser: BaseDenoiser) -> Any:
        """What the first step is handed as `carry`."""
        return ()

    def step(
        self, keys: Array, x: Array, t: Array, s: Array | None, denoiser: BaseDenoiser, carry: Any
    ) -> tuple[Array, Array, Any]:
        """From x [batch, ...] at t to s < t; returns (x, its mean before noise was added, carry).

        `s` is None for a step to the clean data. `keys` holds one key per sample, for this step.
        """
        raise TypeError(f"{type(self).__name__} must define step.")

    def finish(
        self, keys: Array, x: Array, t: Array, denoiser: BaseDenoiser, carry: Any
    ) -> tuple[Array, int]:
        """Removes the noise left at the last time t. Returns x and the evaluations it took."""
        if self.denoise == "none":
            return x, 0
        if self.denoise == "last_mean":
            return self.step(keys, x, t, None, denoiser, carry)[1], self.evaluations
        return tweedie(x, t, denoiser), 1

    def run(
        self, keys: Array, x: Array, times: Array, denoiser: BaseDenoiser, every: int | None
    ) -> Samples:
        """Samples from x at times[0]; records the state at every `every`-th time if not None."""
        steps = len(times) - 1
        records = ()
        if every is not None:
            records = jnp.zeros((1 + -(-steps // every), *x.shape), x.dtype).at[0].set(x)

        def body(state, numbered):
            x, carry, records = state
            number, t, s = numbered
            x, _, carry = self.step(fold_in(keys, number), x, t, s, denoiser, carry)
            if every is not None:  # within a stride the later step overwrites the earlier one
                records = records.at[1 + number // every].set(x)
            return (x, carry, records), None

        state = x, self.init(x, denoiser), records
        numbered = jnp.arange(steps), times[:-1], times[1:]
        (x, carry, records), _ = jax.lax.scan(body, state, numbered)
        x, last = self.finish(fold_in(keys, steps), x, times[-1], denoiser, carry)
        nfe = jnp.full(x.shape[:1], steps * self.evaluations + last, jnp.int32)
        return Samples(x, nfe, records if every is not None else None)


@functools.partial(jax.jit, static_argnames=("sampler", "shape", "every"))
def _run(keys, x, times, denoiser, *, sampler, shape, every):
    if x is None:
        x = denoiser.sde.prior_std * normal(fold_in(keys, _PRIOR), shape)
    return sampler.run(keys, x, times, denoiser, every)


def sample(
    key: Array,
    sampler: Any,
    denoiser: BaseDenoiser,
    shape: tuple[int, ...] | None = None,
    *,
    x_init: Array | None = None,
    labels: Array | None = None,
    steps: int | None = None,
    grid: Any = None,
    trajectory: int | bool | None = None,
) -> Samples:
    """Draws samples.

    Args:
        key: one key, from which sample i of the batch gets `fold_in(key, i)`, or [batch] keys, one
            a sample. The same key gives the same sample in any batch.
        sampler: what `samplers.get` returns.
        denoiser: a Denoiser, analytic or guided denoiser.
        shape: [batch, ...] of the samples; taken from `x_init` where that is given.
        x_init: start from these states at the first time instead of draws from the prior.
        labels: None or [batch], handed to the denoiser.
        steps: number of steps of a named grid. An adaptive solver needs none.
        grid: a name of `times.GRIDS` ("uniform" if None), or an array of decreasing times.
        trajectory: k or True: also return the state at every k-th (every) time of the grid.

    Raises:
        UsageError: inconsistent shapes, no number of steps, or a method that is undefined for this
            process or network.
    """
    if x_init is not None:
        if shape is not None and tuple(shape) != x_init.shape:
            raise UsageError(f"shape {tuple(shape)} contradicts x_init's {x_init.shape}.")
        shape = x_init.shape
    if shape is None:
        raise UsageError("sample() needs the shape [batch, ...] of the samples, or x_init.")
    shape = tuple(int(n) for n in shape)
    if labels is not None:
        labels = jnp.asarray(labels)
        if labels.shape != shape[:1]:
            raise UsageError(f"{shape[0]} samples need labels [{shape[0]}], got {labels.shape}.")
        denoiser = Labelled(denoiser, labels)
    every = int(trajectory) if trajectory else None
    if every is not None and every < 1:
        raise UsageError(f"trajectory must be a positive stride, got {trajectory}.")
    sampler.check(denoiser)
    times = sampler.times(denoiser.sde, steps, grid)
    keys = sample_keys(key, shape[0])
    return _run(keys, x_init, times, denoiser, sampler=sampler, shape=shape, every=every)
