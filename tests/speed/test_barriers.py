"""Barriers: the same arrays and derivatives, on CPUs out of XLA's sight."""

import collections
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import networks
from scoresde.networks.layers import Conv
from scoresde.speed.barriers import in_memory, settle_cotangents

X = jnp.linspace(-2.0, 3.0, 3 * 4).reshape(3, 4)
SCALE = jnp.linspace(1.0, 2.0, 4)


def curved(x):
    x, scale = settle_cotangents(x, SCALE.astype(x.dtype))
    return in_memory(jnp.sin(scale * x)) * x


def plain(x):
    return jnp.sin(SCALE.astype(x.dtype) * x) * x


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_they_are_the_arrays(dtype):
    for count in (1, 3):
        x, y = X[:count].astype(dtype), SCALE
        for function in (lambda f: f, jax.jit):
            found = function(settle_cotangents)(x, y), (function(in_memory)(x), y)
            for pair in found:
                for array, expected in zip(pair, (x, y), strict=True):
                    assert array.dtype == expected.dtype
                    np.testing.assert_array_equal(array, expected)


WAYS = {
    "backward": lambda f, x, v: jax.vjp(f, x)[1](v)[0],
    "forward": lambda f, x, v: jax.jvp(f, (x,), (v,))[1],
    "linearized": lambda f, x, v: jax.linearize(f, x)[1](v),
    "row by row": lambda f, x, v: jax.vmap(jax.grad(lambda row: f(row).sum()))(x),
    "second": lambda f, x, v: jax.hessian(lambda row: f(row).sum())(x[0]),
    "recomputed": lambda f, x, v: jax.vjp(jax.checkpoint(f), x)[1](v)[0],
    "scanned": lambda f, x, v: jax.vjp(lambda x: jax.lax.map(f, x), x)[1](v)[0],
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_derivatives_are_those_without_them(dtype, way, count):
    x = X.astype(dtype)[-count:].at[0, 2].set(jnp.nan)  # stays where it is
    expected = WAYS[way](plain, x, jnp.cos(x)).astype(jnp.float32)
    for found in (
        WAYS[way](curved, x, jnp.cos(x)),
        jax.jit(WAYS[way], static_argnums=0)(curved, x, jnp.cos(x)),
    ):
        tolerance = 1e-6 if dtype == "float32" else 2e-2
        np.testing.assert_allclose(found.astype(jnp.float32), expected, tolerance, tolerance)


def product(settle):
    def f(x, scale, bias):
        x, scale, bias = settle(x, scale, bias)
        return jnp.sin(x * scale) + bias * 0

    return f


@pytest.mark.parametrize("of", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_each_array_has_its_own_derivative(of):
    """Also where others have none, or are not asked for theirs."""
    arrays = X, jnp.linspace(1.0, 2.0, 4), jnp.ones(())
    grads = (
        jax.jit(jax.grad(lambda *arrays, f=f: f(*arrays).sum(), of))(*arrays)
        for f in (product(settle_cotangents), product(lambda *arrays: arrays))
    )
    for found, expected in zip(*grads, strict=True):
        np.testing.assert_allclose(found, expected, 1e-6)


def test_what_has_no_derivative_is_given_none():
    """Else zeros would be multiplied by all that an array is multiplied by."""
    jaxpr = jax.make_jaxpr(lambda x: jax.jvp(curved, (x,), (x,))[1])(X)
    settled = [eqn for eqn in jaxpr.eqns if eqn.primitive.name == "settled"]
    assert [len(eqn.invars) for eqn in settled] == [2, 1, 1, 1]  # arrays, tangent; now: both


def loops(function, *arrays):
    """How many are left of a program once it is compiled."""
    return jax.jit(function).lower(*arrays).compile().as_text().count(" while(")


def grad(x):
    return jax.grad(lambda x: curved(x).sum())(x)


def test_xla_does_not_look_across():
    assert loops(grad, X) == 2
    assert loops(grad, X.astype(jnp.bfloat16)) == 0  # is not left to others
    assert loops(curved, X) == 1
    assert loops(lambda x: settle_cotangents(x, 2 * x), X) == 0
    assert loops(lambda x: jax.jvp(lambda x: settle_cotangents(x)[0], (x,), (x,)), X) == 0
    assert loops(grad, jnp.zeros((0, 4))) == 0


@pytest.mark.parametrize(("count", "asked"), [(1, 0), (2, 2)])
def test_a_convolution_hands_nothing_on_before_its_kernel_has_its_derivative(count, asked):
    """If its map is larger than the kernel, whose 135 numbers are more than those of one image."""
    layer, x = Conv(3, use_bias=False), jnp.ones((count, 4, 4, 5))
    params = layer.init(jax.random.key(0), x)

    def loss(params, x):
        return jnp.square(layer.apply(params, x)).sum()

    lowered = jax.jit(jax.grad(loss, (0, 1))).lower(params, x)
    assert lowered.as_text().count("stablehlo.popcnt") == asked
    assert lowered.compile().as_text().count(" while(") == bool(asked)


OVER_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from scoresde.speed.barriers import in_memory, settle_cotangents
grad = jax.jit(jax.grad(lambda x: in_memory(jnp.square(jnp.sin(settle_cotangents(x)[0]))).sum()))
x = jnp.arange(32.0).reshape(8, 4).at[3].set(jnp.nan)
for kind in (AxisType.Auto, AxisType.Explicit):
    mesh = Mesh(jax.devices(), ("data",), axis_types=(kind,))
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
    assert "while" not in grad.lower(split).as_text()
    np.testing.assert_allclose(grad(split), grad(x), rtol=1e-6)
assert "while" in grad.lower(x).as_text()
print(len(jax.devices()))
"""


def test_over_devices_it_is_nothing():
    """What the loop asks for is of one sample, which one device has."""
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    options = {"env": os.environ | flags, "check": True, "capture_output": True, "text": True}
    assert subprocess.run([sys.executable, "-c", OVER_DEVICES], **options).stdout.split() == ["8"]


def test_a_program_for_any_device_is_exported():
    for rows in ("batch", "batch - 1"):
        shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape(f"{rows}, 4"), jnp.float32)
        program = jax.export.export(jax.jit(grad), platforms=["cpu", "cuda", "tpu"])(shape)
        np.testing.assert_allclose(program.call(X), grad(X), rtol=1e-6)


# Each has one attention, whose weights are in memory, and one layer whose input has no cotangent.
@pytest.mark.parametrize(
    ("name", "blocks", "options"),
    [
        ("ncsnpp", 10, {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": ()}),
        ("edm2", 10, {"model_channels": 16, "channel_mult": (1, 2), "num_blocks": 1}),
    ],
)
def test_networks_have_one_a_block_and_one_a_convolution(name, blocks, options):
    if name == "edm2":
        options |= {"channels_per_head": 16, "attn_resolutions": ()}
    network = networks.get(name, **options)
    params = network.init(jax.random.key(0), (8, 8, 3))
    x, t = jnp.ones((1, 8, 8, 3)), jnp.ones(1)

    def derivative(params):
        return jax.grad(lambda params: network.apply(params, x, t).sum())(params)

    settled = re.findall(r" = settled\[now=True\] (.*)", str(jax.make_jaxpr(derivative)(params)))
    counts = collections.Counter(len(arrays.split()) for arrays in settled)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kernels = [path for path, leaf in leaves if leaf.ndim == 4 and path[-1].key == "kernel"]
    assert counts == {1: blocks + 2, 2: len(kernels) - 1}
