"""`sample`: the driver that every sampler runs in.

The driver owns the keys (one a sample, so that a seed gives the same image at any batch size and
on any number of devices), the draws from the prior and the compiled program. A sampler owns the
way from there: see `scoresde.samplers.interface`.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from scoresde import plain
from scoresde.condition import Condition, check_condition
from scoresde.denoiser import BaseDenoiser, check_denoiser, require_levels
from scoresde.keys import fold_in, normal, sample_keys
from scoresde.meshes import automatic
from scoresde.registry import UsageError
from scoresde.samplers.arguments import (
    as_states,
    check_sampler,
    constraint_as_pytree,
    sample_shape,
    stride,
)
from scoresde.samplers.interface import Constraint, Sampler, Samples
from scoresde.samplers.observe import Observer, progress_bar
from scoresde.times import is_traced

# Folded into a sample's key for its prior noise; steps fold in their number, which is smaller.
_PRIOR = 2**31 - 1

# Grids are filled up to a multiple of this many times, so that most share one compiled loop.
_CAPACITY = 1024


def _run(
    keys, x, temperature, times, steps, denoiser, condition, constraint, observer, *, sampler, shape
):
    if x is None:
        sde, dtype = denoiser.sde, times.dtype
        std = temperature * sde.prior_std * sde.sigma(times[0]) / sde.sigma(sde.t_max)
        x = (std * normal(fold_in(keys, _PRIOR), shape, dtype)).astype(dtype)
    return sampler.run(keys, x, times, steps, denoiser, condition, constraint, observer)


_compiled = {
    donate: jax.jit(
        _run, static_argnames=("sampler", "shape"), donate_argnames=("x",) if donate else ()
    )
    for donate in (False, True)
}


def sample(
    key: Array,
    sampler: Sampler,
    denoiser: BaseDenoiser,
    shape: tuple[int, ...] | None = None,
    *,
    x_init: Array | None = None,
    donate: bool = False,
    temperature: float = 1.0,
    condition: Condition = None,
    constraint: Constraint | None = None,
    steps: int | None = None,
    grid: Any = None,
    trajectory: int | bool | None = None,
    record: Callable[[Array], Any] | None = None,
    progress: bool = False,
) -> Samples:
    """Draws samples.

    Inside JAX's transformations samplers that step along a grid can be differentiated in both modes
    (in reverse at the cost of memory for every step), `probability_flow` in reverse, and
    `gotta_go_fast`, of its path with the steps it takes, in forward mode; JAX refuses the others.

    Args:
        key: one key, from which sample i of the batch gets `fold_in(key, i)`, or [batch] keys, one
            a sample. The same key gives the same sample in any batch.
        sampler: what `samplers.get` returns.
        denoiser: a Denoiser, analytic or guided denoiser.
        shape: [batch, ...] of the samples; taken from `x_init` where that is given.
        x_init: start from these states at the first time instead of draws from the prior. States
            are float32, or float64 where JAX's 64-bit mode is on.
        donate: let the samples take the memory of `x_init`, which cannot be used afterward.
        temperature: factor on the standard deviation of the prior's draws; >= 0.
        condition: what is known of each sample, by name: arrays [batch, ...]. A sampler hands the
            denoiser those of the samples that it is asked about.
        constraint: (keys, x, t, condition) -> x, imposed on the states after every move of a
            sampler that steps along a grid, the two halves of a predictor-corrector step among
            them; not on the final denoising, whose time is no time of the grid. A plain function,
            or a JAX pytree that is called like one, if it holds arrays.
        steps: number of steps of a named grid. An adaptive solver needs none.
        grid: a name of `times.GRIDS` (by default the sampler's `default_grid`, else the process's),
            a section {"name": "edm", "rho": 5} or an object with its options, or an array of
            decreasing times. Where it starts below t_max, the prior shrinks with sigma.
        trajectory: k or True: also return the state at every k-th (every) time of the grid.
        record: what to record of a state [batch, ...] instead of all of it: a function to an array
            or a pytree of them, for instance `lambda x: x[:4]`. Every state, unless `trajectory`
            says which.
        progress: show a bar on stderr, and wait until the samples are ready. An adaptive
            probability flow only shows when it is done.

    Raises:
        UsageError: inconsistent shapes, a condition that the denoiser refuses (as a label that is
            none of its classes), no number of steps, a constraint on an adaptive solver, or
            a method that is undefined for this process or network.
    """
    check_sampler(sampler)
    check_denoiser(denoiser)
    key, denoiser, x_init, condition = automatic((key, denoiser, x_init, condition))
    if donate and x_init is None:
        raise UsageError("donate=True gives away the memory of x_init, and there is none.")
    if x_init is not None:
        x_init = as_states(x_init)
        if shape is not None and sample_shape(shape) != x_init.shape:
            raise UsageError(f"shape {tuple(shape)} contradicts x_init's {x_init.shape}.")
        if is_traced(temperature) or temperature != 1:
            raise UsageError("temperature scales draws from the prior; x_init replaces them.")
        shape = x_init.shape
    if shape is None:
        raise UsageError("sample() needs the shape [batch, ...] of the samples, or x_init.")
    plain.check("temperature", temperature, float)
    if not is_traced(temperature) and not temperature >= 0:
        raise UsageError(f"temperature must not be negative, got {temperature}.")
    shape = sample_shape(shape)
    others_read = constraint is not None
    condition = check_condition(condition, shape[0], denoiser, others_read=others_read)
    every = stride(trajectory, record)

    sampler.check(denoiser)
    sampler.check_constraint(constraint)
    times = sampler.times(denoiser.sde, steps, grid)
    last = len(times) - 1
    sampler.check_last(denoiser.sde, times[-1])
    require_levels(denoiser, last)
    keys = sample_keys(key, shape[0])
    constraint = constraint_as_pytree(constraint)
    records = 0 if every is None else 1 + -(-last // every)
    if is_traced((x_init, temperature, times, denoiser, condition, constraint)):
        run = _run  # part of another program, in which the number of steps is known
    else:
        run = _compiled[donate]
        times = jnp.pad(times, (0, -len(times) % _CAPACITY), mode="edge")
    with progress_bar() if progress else contextlib.nullcontext() as bar:
        samples = run(
            keys,
            x_init,
            temperature,
            times,
            last,
            denoiser,
            condition,
            constraint,
            Observer(every, records, record, bar),
            sampler=sampler,
            shape=shape,
        )
        return jax.block_until_ready(samples) if progress else samples
