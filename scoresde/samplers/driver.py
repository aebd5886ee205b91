"""The driver that every sampler runs in, and the interface of one that steps along a time grid.

The driver owns the keys (one a sample, so that a seed gives the same image at any batch size and
on any number of devices), the loop, the final denoising and the count of network evaluations. A
sampler owns its step. The loop is compiled once for all numbers of steps: a study of quality
against cost compiles a network once a sampler.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from scoresde.denoiser import (
    BaseDenoiser,
    Condition,
    check_condition,
    check_denoiser,
    predict,
    require_levels,
)
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.registry import UsageError
from scoresde.samplers.observe import Observer, progress_bar
from scoresde.sdes import SDE
from scoresde.times import make_grid

# Folded into a sample's key for its prior noise; steps fold in their number, which is smaller.
_PRIOR = 2**31 - 1

# Grids are filled up to a multiple of this many times, so that most share one compiled loop.
_CAPACITY = 1024


class Samples(NamedTuple):
    """What a sampler returns.

    Attributes:
        x: the samples, [batch, ...], in the range of the data that the denoiser knows. A sample
            that an adaptive solver could not finish is NaN.
        nfe: evaluations of the denoiser that each sample took, [batch] int32.
        trajectory: None, or the states at the recorded times, [records, batch, ...], noise first;
            the final denoising is not among them.
    """

    x: Array
    nfe: Array
    trajectory: Any = None


def tweedie(x: Array, t: Array, denoiser: BaseDenoiser) -> Array:
    """E[x_0 | x_t] (Efron 2011): (x + sigma^2 score) / alpha."""
    return predict(denoiser, x, t).x0


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

    denoise_rules: ClassVar[tuple[str, ...]] = ("tweedie", "last_mean", "none")

    def __post_init__(self):
        if self.denoise not in self.denoise_rules:
            known = ", ".join(self.denoise_rules)
            raise UsageError(f"Unknown denoise {self.denoise!r}. Known: {known}.")

    @property
    def evaluations(self) -> int:
        """Denoiser evaluations a step."""
        return 1

    def total_evaluations(self, steps: int | Array) -> int | Array:
        """Denoiser evaluations of the first `steps` steps, the final denoising not counted."""
        return steps * self.evaluations

    @property
    def final_evaluations(self) -> int:
        """Denoiser evaluations of `finish`."""
        return {"none": 0, "last_mean": self.evaluations}.get(self.denoise, 1)

    def steps_within(self, nfe: int) -> int:
        """The most steps that take at most `nfe` evaluations, the final denoising included.

        Raises:
            UsageError: not even one step does.
        """
        counts = self.total_evaluations(np.arange(nfe + 1)) + self.final_evaluations
        steps = int(np.searchsorted(np.asarray(counts), nfe, side="right")) - 1
        if steps < 1:
            raise UsageError(f"{nfe} evaluations are not enough for one step of this sampler.")
        return steps

    def check(self, denoiser: BaseDenoiser) -> None:
        """Raises UsageError where the method is undefined for this denoiser."""

    def times(self, sde: SDE, steps: int | None, grid: Any) -> Array:
        """The decreasing times [steps + 1] to visit; see `scoresde.times.make_grid`."""
        return make_grid(sde, steps, grid)

    def init(self, x: Array, denoiser: BaseDenoiser, steps: Array) -> Any:
        """What the first of `steps` steps is handed as `carry`."""
        return ()

    def step(
        self, keys: Array, x: Array, t: Array, s: Array | None, denoiser: BaseDenoiser, carry: Any
    ) -> tuple[Array, Array, Any]:
        """From x [batch, ...] at t to s < t; returns (x, its mean before noise was added, carry).

        `keys` holds one key per sample, for this step. `s` is None for a step to the clean data,
        which is asked for only where "last_mean" is among the `denoise_rules`.
        """
        raise TypeError(f"{type(self).__name__} must define step.")

    def finish(self, keys: Array, x: Array, t: Array, denoiser: BaseDenoiser, carry: Any) -> Array:
        """x [batch, ...] without the noise left at the last time t."""
        if self.denoise == "none":
            return x
        if self.denoise == "last_mean":
            return self.step(keys, x, t, None, denoiser, carry)[1]
        return tweedie(x, t, denoiser)

    def run(
        self,
        keys: Array,
        x: Array,
        times: Array,
        steps: Array,
        denoiser: BaseDenoiser,
        condition: Condition,
        observer: Observer,
    ) -> Samples:
        """Samples from x at times[0] by `steps` steps; later entries of `times` are not used."""
        denoiser = denoiser.given(condition)

        def body(number, state):
            x, carry, seen = state
            t, s = times[number], times[number + 1]
            x, _, carry = self.step(fold_in(keys, number), x, t, s, denoiser, carry)
            observer.progress(number / steps, (number + 1) / steps)
            return x, carry, observer.see(seen, number, x)

        state = x, self.init(x, denoiser, steps), observer.start(x)
        x, carry, seen = jax.lax.fori_loop(0, steps, body, state)
        x = self.finish(fold_in(keys, steps), x, times[steps], denoiser, carry)
        nfe = self.total_evaluations(steps) + self.final_evaluations
        return Samples(x, jnp.full(x.shape[:1], nfe, jnp.int32), seen)


def _run(keys, x, temperature, times, steps, denoiser, condition, observer, *, sampler, shape):
    if x is None:
        sde, dtype = denoiser.sde, times.dtype
        std = temperature * sde.prior_std * sde.sigma(times[0]) / sde.sigma(sde.t_max)
        x = (std * normal(fold_in(keys, _PRIOR), shape, dtype)).astype(dtype)
    return sampler.run(keys, x, times, steps, denoiser, condition, observer)


_compiled = {
    donate: jax.jit(
        _run, static_argnames=("sampler", "shape"), donate_argnames=("x",) if donate else ()
    )
    for donate in (False, True)
}


def sample(
    key: Array,
    sampler: Any,
    denoiser: BaseDenoiser,
    shape: tuple[int, ...] | None = None,
    *,
    x_init: Array | None = None,
    donate: bool = False,
    temperature: float = 1.0,
    condition: Condition = None,
    steps: int | None = None,
    grid: Any = None,
    trajectory: int | bool | None = None,
    record: Callable[[Array], Any] | None = None,
    progress: bool = False,
) -> Samples:
    """Draws samples.

    Args:
        key: one key, from which sample i of the batch gets `fold_in(key, i)`, or [batch] keys, one
            a sample. The same key gives the same sample in any batch.
        sampler: what `samplers.get` returns.
        denoiser: a Denoiser, analytic or guided denoiser.
        shape: [batch, ...] of the samples; taken from `x_init` where that is given.
        x_init: start from these states at the first time instead of draws from the prior. States
            are float32, or float64 where JAX's 64-bit mode is on.
        donate: let the samples take the memory of `x_init`, which cannot be used afterwards.
        temperature: factor on the standard deviation of the prior's draws; >= 0.
        condition: what is known of each sample, by name: arrays [batch, ...]. A sampler hands the
            denoiser those of the samples that it is asked about.
        steps: number of steps of a named grid. An adaptive solver needs none.
        grid: a name of `times.GRIDS` (by default the process's `default_grid`, for most samplers),
            or an array of decreasing times. Where it starts below t_max, the prior shrinks with
            sigma.
        trajectory: k or True: also return the state at every k-th (every) time of the grid.
        record: what to record of a state [batch, ...] instead of all of it: a function to an array
            or a pytree of them, for instance `lambda x: x[:4]`. Every state, unless `trajectory`
            says which.
        progress: show a bar on stderr, and wait until the samples are ready. An adaptive
            probability flow only shows when it is done.

    Raises:
        UsageError: inconsistent shapes, no number of steps, or a method that is undefined for this
            process or network.
    """
    check_denoiser(denoiser)
    if donate and x_init is None:
        raise UsageError("donate=True gives away the memory of x_init, and there is none.")
    if x_init is not None:
        x_init = jnp.asarray(x_init, jnp.result_type(float))
        if shape is not None and tuple(shape) != x_init.shape:
            raise UsageError(f"shape {tuple(shape)} contradicts x_init's {x_init.shape}.")
        if temperature != 1:
            raise UsageError("temperature scales draws from the prior; x_init replaces them.")
        shape = x_init.shape
    if shape is None:
        raise UsageError("sample() needs the shape [batch, ...] of the samples, or x_init.")
    if not temperature >= 0:
        raise UsageError(f"temperature must not be negative, got {temperature}.")
    shape = tuple(int(n) for n in shape)
    condition = check_condition(condition, shape[0])
    every = int(trajectory or record is not None) or None
    if every is not None and every < 1:
        raise UsageError(f"trajectory must be a positive stride, got {trajectory}.")

    sampler.check(denoiser)
    times = sampler.times(denoiser.sde, steps, grid)
    last = len(times) - 1
    require_levels(denoiser, last)
    keys = sample_keys(key, shape[0])
    records = 0 if every is None else 1 + -(-last // every)
    times = jnp.pad(times, (0, -len(times) % _CAPACITY), mode="edge")
    with progress_bar() if progress else contextlib.nullcontext() as bar:
        samples = _compiled[donate](
            keys,
            x_init,
            temperature,
            times,
            last,
            denoiser,
            condition,
            Observer(every, records, record, bar),
            sampler=sampler,
            shape=shape,
        )
        return jax.block_until_ready(samples) if progress else samples
