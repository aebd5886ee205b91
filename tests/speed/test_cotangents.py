"""Cotangents that are added up: the same derivatives, on CPUs out of XLA's sight."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import networks
from scoresde.speed.cotangents import add_up_cotangents

X = jnp.linspace(-2.0, 3.0, 3 * 4).reshape(3, 4)


def curved(x):
    return jnp.sin(add_up_cotangents(x)) * x


def plain(x):
    return jnp.sin(x) * x


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_it_is_the_array(dtype):
    for count in (1, 3):
        x = X[:count].astype(dtype)
        for found in (add_up_cotangents(x), jax.jit(add_up_cotangents)(x)):
            assert found.dtype == x.dtype
            np.testing.assert_array_equal(found, x)


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
def test_derivatives_are_those_without_it(dtype, way, count):
    x = X.astype(dtype)[-count:].at[0, 2].set(jnp.nan)  # stays where it is
    expected = WAYS[way](plain, x, jnp.cos(x)).astype(jnp.float32)
    for found in (
        WAYS[way](curved, x, jnp.cos(x)),
        jax.jit(WAYS[way], static_argnums=0)(curved, x, jnp.cos(x)),
    ):
        tolerance = 1e-6 if dtype == "float32" else 1e-2
        np.testing.assert_allclose(found.astype(jnp.float32), expected, tolerance, tolerance)


def loops(function, *arrays):
    """How many are left of a program once it is compiled."""
    return jax.jit(function).lower(*arrays).compile().as_text().count(" while(")


def test_xla_does_not_look_across():
    def grad(x):
        return jax.grad(lambda x: curved(x).sum())(x)

    assert loops(grad, X) == 1
    assert loops(grad, X.astype(jnp.bfloat16)) == 0  # is not left to others
    assert loops(curved, X) == 0
    assert loops(lambda x: jax.jvp(curved, (x,), (x,)), X) == 0
    assert loops(grad, jnp.zeros((0, 4))) == 0


OVER_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from scoresde.speed.cotangents import add_up_cotangents
grad = jax.jit(jax.grad(lambda x: jnp.square(jnp.sin(add_up_cotangents(x))).sum()))
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
    def grad(x):
        return jax.grad(lambda x: curved(x).sum())(x)

    shape = jax.ShapeDtypeStruct(jax.export.symbolic_shape("batch, 4"), jnp.float32)
    program = jax.export.export(jax.jit(grad), platforms=["cpu", "cuda", "tpu"])(shape)
    np.testing.assert_allclose(program.call(X), grad(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "blocks", "options"),
    [
        ("ncsnpp", 10, {"nf": 8, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": ()}),
        (
            "edm2",
            10,
            {
                "model_channels": 16,
                "channel_mult": (1, 2),
                "num_blocks": 1,
                "channels_per_head": 16,
            },
        ),
    ],
)
def test_networks_have_one_a_block(name, blocks, options):
    network = networks.get(name, **options)
    params = network.init(jax.random.key(0), (8, 8, 3))
    x, t = jnp.ones((1, 8, 8, 3)), jnp.ones(1)

    def derivative(params):
        return jax.grad(lambda params: network.apply(params, x, t).sum())(params)

    text = str(jax.make_jaxpr(derivative)(params))
    assert text.count("added_up[backward=True]") == blocks
