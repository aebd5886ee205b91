"""What is computed where the program says so, which XLA's CPU backend would do later, or again.

A residual block's input gets two cotangents, one of the sum and one of the block's own layers, and
the sum of both goes on to the block before. XLA fuses that sum into each of its readers, there with
the next block's, and so on: terms of several blocks are read, and added up, again and again, and
stay in memory until the last has read them. A convolution's input and its kernel get theirs of the
same two maps, which stay in memory until both are made, and XLA's order of instructions leaves
kernels for later, by several blocks. And what is cheap to make of an array, it makes again for the
derivative: then both are in memory.

It drops `jax.lax.optimization_barrier` before it fuses, but cannot look across a loop, even one
that never runs.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def settle_cotangents(x: jax.Array, *others: jax.Array) -> list[jax.Array]:
    """x and the others: x's cotangent is in memory, and theirs are made, before it goes on.

    As all here, on CPUs, in float32 and on one device; anywhere else it is the arrays alone, and
    so it is where the others are larger than x, since they would have to stay in memory for it.
    """
    return _settled.bind(x, *others, now=False)


def in_memory(x: jax.Array) -> jax.Array:
    """x, which is made once, and before anything is made of it."""
    return _settled.bind(x, now=True)[0]


# An array behind a barrier, which waits for the others, too. It stands where they are (now) or
# where their cotangents are.
_settled = Primitive("settled")
_settled.multiple_results = True
_settled.def_impl(lambda *arrays, now: list(arrays))
_settled.def_abstract_eval(lambda *arrays, now: list(arrays))


def _settle(arrays: Sequence, now: bool) -> list:
    """Those that are not known to be zero, together."""
    some = [x for x in arrays if not isinstance(x, ad.Zero)]
    settled = iter(_settled.bind(*some, now=now) if some else ())
    return [x if isinstance(x, ad.Zero) else next(settled) for x in arrays]


def _jvp(arrays, tangents, *, now):
    return _settled.bind(*arrays, now=now), _settle(tangents, now)


def _transpose(cotangents, *arrays, now):
    wanted = [ad.is_undefined_primal(x) for x in arrays]
    settled = iter(_settle([ct for ct, chosen in zip(cotangents, wanted) if chosen], not now))
    return [next(settled) if chosen else None for chosen in wanted]


def _batched(arrays, axes, *, now):
    return _settled.bind(*arrays, now=now), axes


ad.primitive_jvps[_settled] = _jvp
ad.primitive_transposes[_settled] = _transpose
batching.primitive_batchers[_settled] = _batched


def _lower(context, *arrays, now: bool):
    """What a CPU is told: the arrays alone, or the first behind a loop."""
    devices = getattr(context.module_context.axis_context, "num_devices", None)
    # Over several devices, what the loop asks of an array would be sent to all.
    if not now or devices != 1 or not all(map(_fits, context.avals_in)):
        return arrays
    first, *others = (aval.size for aval in context.avals_in)
    if sum(others) > first:
        return arrays
    return mlir.lower_fun(_behind_a_loop, multiple_results=True)(context, *arrays)


def _fits(aval: jax.core.ShapedArray) -> bool:
    """Whether there is a number in it to ask, of the type that was measured."""
    return aval.dtype == jnp.float32 and all(isinstance(n, int) and n > 0 for n in aval.shape)


mlir.register_lowering(_settled, lambda context, *arrays, now: arrays)
mlir.register_lowering(_settled, _lower, platform="cpu")


def _behind_a_loop(x: jax.Array, *others: jax.Array) -> Sequence[jax.Array]:
    # Words of 32 bits have less than 64 that are set, which XLA does not conclude.
    words = (lax.bitcast_convert_type(y[(0,) * y.ndim], jnp.uint32) for y in (x, *others))
    never = functools.reduce(jnp.maximum, map(lax.population_count, words)) >= 64

    def negated(carry):
        return False, -carry[1]

    _, x = lax.while_loop(lambda carry: carry[0], negated, (never, x))
    return x, *others
