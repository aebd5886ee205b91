"""Adaptive solves of ordinary differential equations on the device, each sample on its own steps.

A thin layer over diffrax: `vmap` gives each sample its own error control, so no result depends on
who else is in the batch; the loop ends when the slowest sample has finished.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jax import Array

from scoresde.ode.integrals import WithIntegrals
from scoresde.ode.pairs import METHODS
from scoresde.registry import UsageError, lookup, shown


def check(method: str, **tolerances: float) -> None:
    """Raises UsageError for an unknown method or a tolerance that is not positive."""
    lookup("ODE method", METHODS, method)
    for name, value in tolerances.items():
        if not value > 0:
            raise UsageError(f"The tolerance {name} must be positive, got {value}.")


class _Controller(diffrax.PIDController):
    """Gives up where the state is not a number, and takes tolerances for each part of it.

    Attributes:
        tolerances: (rtol, atol) of each part of the state, a tuple; None for one pair for all.
        first_step: its length, positive. Given to diffrax otherwise, it is checked on the host: a
            program that calls the host is not kept in JAX's compilation cache, and on CPUs the call
            of it returns only when it is done.
    """

    tolerances: tuple[tuple[float, float], ...] | None = None
    first_step: Array | None = None

    def init(self, terms, t0, t1, y0, dt0, *rest):
        return super().init(terms, t0, t1, y0, self.first_step, *rest)

    def adapt_step_size(self, t0, t1, y0, y1_candidate, args, y_error, *rest):
        def relative(tolerance, before, after, error):
            rtol, atol = tolerance
            return error / (atol + rtol * jnp.maximum(jnp.abs(before), jnp.abs(after)))

        if self.tolerances is not None:
            y_error = tuple(map(relative, self.tolerances, y0, y1_candidate, y_error))
            # With atol = 1 it is then taken as it is.
            y0 = y1_candidate = jax.tree.map(jnp.zeros_like, y0)
        *others, result = super().adapt_step_size(t0, t1, y0, y1_candidate, args, y_error, *rest)
        # The length of the next step is then not a number either: one bad sample would keep all of
        # its batch waiting for max_steps attempts.
        known = jnp.isfinite(others[2])
        return *others, diffrax.RESULTS.where(known, result, diffrax.RESULTS.dt_min_reached)


def _controller(rtol, atol, **options):
    if not isinstance(rtol, tuple):
        return _Controller(rtol=rtol, atol=atol, **options)
    tolerances = tuple(zip(rtol, atol, strict=True))
    return _Controller(rtol=0.0, atol=1.0, tolerances=tolerances, **options)


class Stats(NamedTuple):
    """What a solve cost, per sample.

    Attributes:
        nfe: evaluations of the right-hand side, [batch].
        steps: accepted and rejected steps, [batch].
        finished: whether the solution reached t1 within max_steps and is finite, [batch].
    """

    nfe: Array
    steps: Array
    finished: Array


def root_mean_square(y: Any) -> Array:
    """The root mean square over all entries of a pytree, a scalar."""
    leaves = [jnp.ravel(leaf) for leaf in jax.tree.leaves(y)]
    return jnp.sqrt(jnp.mean(jnp.concatenate(leaves) ** 2))


def _first_step(rhs, y0, args, t0, t1, rtol, atol, norm, order) -> Array:
    """The length of a first step from two evaluations (Hairer, Norsett, Wanner 1993, section II.4).

    diffrax starts every solve at 0.01, which is far too long where a process starts (EDM's 0.002)
    and short where it ends (EDM's 80). The scan keeps one copy of `rhs` in the compiled program.
    """
    direction = jnp.where(t1 > t0, 1.0, -1.0)
    if isinstance(rtol, tuple):
        rtol, atol = rtol[0], atol[0]  # of the first part: this is only a guess
    scale = jax.tree.map(lambda y: atol + rtol * jnp.abs(y), y0)

    def size_of(y):
        return norm(jax.tree.map(jnp.divide, y, scale))

    def euler_step(carry, _):
        t, y = carry
        f = rhs(t, y, args)
        size, slope = size_of(y), size_of(f)
        step = jnp.where((size < 1e-5) | (slope < 1e-5), 1e-6, 0.01 * size / slope)
        step = jnp.minimum(step, jnp.abs(t1 - t0))
        ahead = jax.tree.map(lambda y, f: y + direction * step * f, y, f)
        return (t + direction * step, ahead), (f, slope, step)

    start = jnp.asarray(t0, jnp.result_type(float)), y0
    _, (fs, slopes, steps) = jax.lax.scan(euler_step, start, length=2)
    curvature = size_of(jax.tree.map(lambda f: f[1] - f[0], fs)) / steps[0]
    steepest = jnp.maximum(slopes[0], curvature)
    guess = jnp.where(
        steepest <= 1e-15,
        jnp.maximum(1e-6, 1e-3 * steps[0]),
        (0.01 / steepest) ** (1 / (order + 1)),
    )
    return jnp.minimum(jnp.minimum(100 * steps[0], guess), jnp.abs(t1 - t0))


def solve(
    rhs: Callable[..., Any],
    y0: Any,
    t0: float | Array,
    t1: float | Array,
    *,
    args: Any = None,
    rtol: float | Array | tuple[float | Array, ...] = 1e-5,
    atol: float | Array | tuple[float | Array, ...] = 1e-5,
    method: str = "dopri5",
    max_steps: int = 10_000,
    first_step: float | None = None,
    safety: float = 0.9,
    norm: Callable[[Any], Array] = root_mean_square,
    save_times: Array | None = None,
    integrals: bool = False,
) -> tuple[Any, Stats]:
    """Integrates dy/dt = rhs(t, y, args) from t0 to t1, in either direction, for a batch.

    The error of a step is controlled per sample: the norm of error / (atol + rtol |y|), the root
    mean square over the sample's entries unless given, is kept below one.

    Args:
        rhs: for ONE sample: (scalar t, y, args) -> dy/dt, pytrees like y.
        y0: initial states, a pytree of [batch, ...] arrays.
        t0: where to start.
        t1: where to end.
        args: a pytree of [batch, ...] arrays handed to `rhs` sample by sample, or None.
        rtol: relative tolerance; for a y0 that is a tuple, also a tuple with one for each part.
        atol: absolute tolerance, likewise.
        method: a name of METHODS.
        max_steps: bound on the steps of a sample; one that needs more is reported unfinished.
        first_step: its length, as a share of that of the way, in (0, 1]; from two evaluations if
            None.
        safety: the next step's length, as a share of what the error estimate suggests, in (0, 1).
        norm: from a pytree like one sample's y to a scalar.
        save_times: times between t0 and t1, in order, at which to return the state as well.
        integrals: y is (x, q), and q an integral along the solution: no slope depends on it. `rhs`
            is then (t, y, args, weighted) -> (dx/dt, dq/dt), and where `weighted` is False, dq/dt
            may be any finite number: the method gives it no weight there. See
            `scoresde.ode.integrals`. Not together with `save_times`.

    Returns:
        The states at t1 (a pytree of [batch, ...]; or of [batch, times, ...] at `save_times`), and
        the Stats.

    Raises:
        UsageError: unknown method, no steps, or save_times together with integrals.
    """
    if not callable(rhs) or not jax.tree.leaves(y0):
        raise UsageError(
            "An ODE is a function rhs(t, y, args) and initial states y0 [batch, ...], got "
            f"{shown(rhs)} and {shown(y0)}."
        )
    if max_steps < 1:
        raise UsageError(f"max_steps must be at least 1, got {max_steps}.")
    if integrals and save_times is not None:
        raise UsageError(
            "Integrals are known at the end alone; save_times cannot be had with them."
        )
    pair = lookup("ODE method", METHODS, method)()
    saveat = diffrax.SaveAt(t1=True) if save_times is None else diffrax.SaveAt(ts=save_times)

    @jax.jit  # a network within is traced once, not wherever the solver asks for a slope
    def slope(t, y, args):
        return rhs(t, y, *args)

    def solve_one(y0, args):
        args = (args, True) if integrals else (args,)
        if first_step is None:
            step = _first_step(slope, y0, args, t0, t1, rtol, atol, norm, pair.order(None))
        else:
            step = first_step * jnp.abs(jnp.asarray(t1 - t0, jnp.result_type(float)))
        # It changes nothing but the solution's error, and its norms have no derivative at zero.
        step = jax.lax.stop_gradient(step)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(slope),
            WithIntegrals(pair) if integrals else pair,
            t0,
            t1,
            None,
            y0,
            args=args,
            saveat=saveat,
            stepsize_controller=_controller(rtol, atol, norm=norm, first_step=step, safety=safety),
            max_steps=max_steps,
            throw=False,
        )
        ys = solution.ys
        if save_times is None:
            ys = jax.tree.map(lambda y: y[0], ys)
        steps = solution.stats["num_steps"]
        finite = [jnp.all(jnp.isfinite(y)) for y in jax.tree.leaves(ys)]
        reached = solution.result == diffrax.RESULTS.successful
        # Two for the first step's length; then the last stage of a step is the first of the next.
        guess = 2 if first_step is None else 0
        nfe = guess + 1 + steps * (pair.tableau.num_stages - 1)
        return ys, Stats(nfe=nfe, steps=steps, finished=jnp.all(jnp.stack([reached, *finite])))

    return jax.vmap(solve_one)(y0, args)
