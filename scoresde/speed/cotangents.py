"""Where a cotangent is added up, which XLA's CPU backend would leave to whoever reads it.

A residual block's input gets two cotangents, one of the sum and one of the block's own layers, and
the sum of both goes on to the block before. XLA fuses that sum into each of its readers, there with
the next block's, and so on: terms of several blocks are read, and added up, again and again, and
stay in memory until the last has read them. It drops `jax.lax.optimization_barrier` before it
fuses, but cannot look across a loop, even one that never runs.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir


def add_up_cotangents(x: jax.Array) -> jax.Array:
    """x, whose cotangent is in memory before anything that it leads to is computed.

    On CPUs, in float32 and on one device; anywhere else it is x alone.
    """
    return _added_up.bind(x, backward=False)


_added_up = Primitive("added_up")
_added_up.def_impl(lambda x, *, backward: x)
_added_up.def_abstract_eval(lambda x, *, backward: x)
ad.deflinear2(_added_up, lambda ct, x, *, backward: [_added_up.bind(ct, backward=not backward)])
batching.defvectorized(_added_up)


def _lower(context, x, *, backward: bool):
    """What a CPU is told: x alone, or x behind a loop."""
    (aval,) = context.avals_in
    devices = getattr(context.module_context.axis_context, "num_devices", None)
    # Over several devices, what the loop asks of x would be sent to all.
    if not backward or devices != 1 or str(aval.dtype) != "float32" or 0 in aval.shape:
        return [x]
    return mlir.lower_fun(_behind_a_loop, multiple_results=False)(context, x)


mlir.register_lowering(_added_up, lambda context, x, *, backward: [x])
mlir.register_lowering(_added_up, _lower, platform="cpu")


def _behind_a_loop(x: jax.Array) -> jax.Array:
    # A word of 32 bits has less than 64 that are set, which XLA does not conclude.
    bits = lax.bitcast_convert_type(x[(0,) * x.ndim], jnp.uint32)
    never = lax.population_count(bits) >= 64

    def body(carry):
        again, x = carry
        return ~again, -x

    return lax.while_loop(lambda carry: carry[0], body, (never, x))[1]
