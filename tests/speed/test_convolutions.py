"""Convolutions in another order or filtered minimally are convolutions, chosen where that pays."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from test_configure import child

from scoresde.speed import convolutions, winograd


def direct(x, g):
    return lax.conv_general_dilated(
        x, g, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("height, width", [(2, 2), (4, 6), (8, 2)])
def test_it_is_the_convolution(height, width):
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(3, height, width, 5)))
        g = jnp.asarray(rng.normal(size=(3, 3, 5, 4)))
        found = winograd.convolution(x, g)
        np.testing.assert_allclose(found, direct(x, g), atol=1e-13)
        alone = [winograd.convolution(image[None], g)[0] for image in x]
        np.testing.assert_allclose(found, alone, atol=1e-13)
        # A pixel that is not a number stays in its image.
        spoiled = winograd.convolution(x.at[0, 0, 0].set(jnp.nan), g)
        np.testing.assert_array_equal(spoiled[1:], found[1:])


CODE = """
import functools, json, jax, jax.numpy as jnp, numpy as np, optax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scoresde import training
from scoresde.speed import convolutions

def convolution(x, g, stride=1, padding="SAME", given="NHWC", result="NHWC", **options):
    strides = stride if isinstance(stride, tuple) else (stride, stride)
    return lax.conv_general_dilated(x, g, strides, padding,
        dimension_numbers=(given, "HWIO", result), **options)

def another(**options):
    return functools.partial(convolution, **options)

def everything(x, g, dx, dg, dy):
    y, back = jax.vjp(convolution, x, g)
    return y, *back(dy), jax.jvp(convolution, (x, g), (dx, dg))[1], jax.vmap(
        convolution, (0, None))(x[:, None], g)[:, 0]

def filtered(f, *given):
    return jax.jit(f).lower(*given).as_text().count("call @convolution")

# Of a real step, whose convolution is deep in it.
def trained(x, accumulate):
    def loss(params, key, batch):
        return jax.checkpoint(jax.jit(lambda *xg: convolution(*xg)))(batch, params).mean(), {}
    optimizer, mesh = optax.sgd(0.1), training.make_mesh(jax.devices()[:1])
    state = training.create_state(jax.random.key(0), jnp.asarray(g), optimizer, {})
    step = training.make_train_step(loss, optimizer, mesh, averages={}, accumulate=accumulate)
    batch = np.concatenate([x] * accumulate)[None]
    text = step.lower(training.place(mesh, state), batch).as_text()
    assert "stablehlo.convolution" in text
    return text.count("call @convolution")

rng = np.random.default_rng(0)
draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
x, g, dx, dg, dy = (draw(4, 32, 32, 128), draw(3, 3, 128, 128)) * 2 + (draw(4, 32, 32, 128),)
before = jax.jit(everything)(x, g, dx, dg, dy)
assert not filtered(convolution, x, g)
convolutions.cores_are_few = lambda: True
convolutions.choose_convolutions()
jax.clear_caches()
after = jax.jit(everything)(x, g, dx, dg, dy)
mesh = Mesh(jax.devices(), ("batch",))
over_two = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
explicit = Mesh(jax.devices()[:1], ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
on_an_explicit_mesh = jax.device_put((x, g), NamedSharding(explicit, PartitionSpec()))
print(json.dumps({
    "errors": [float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(before, after)],
    "chosen": [
        filtered(convolution, x, g),
        filtered(everything, x, g, dx, dg, dy),
        filtered(another(stride=np.int64(1)), x, g),
    ],
    "trained": [trained(np.concatenate([x] * 4), accumulate) for accumulate in (1, 2)],
    "left": [
        *(trained(x, accumulate) for accumulate in (1, 2)),
        filtered(convolution, x[:2], g),
        filtered(convolution, draw(16, 32, 32, 32), g[:, :, :32]),
        filtered(convolution, draw(4, 33, 32, 128), g),
        filtered(convolution, draw(4, 32, 33, 128), g),
        filtered(convolution, x, draw(1, 1, 128, 128)),
        filtered(another(stride=np.int64(2)), draw(16, 32, 32, 128), g),
        filtered(another(padding="VALID"), x, g),
        filtered(another(padding=((1, 1), (1, 1)), rhs_dilation=(2, 2)), x, g),
        filtered(another(padding=((1, 1), (1, 1)), lhs_dilation=(2, 2)), x, g),
        filtered(another(feature_group_count=2), draw(8, 32, 32, 256), g),
        filtered(another(batch_group_count=2), draw(8, 32, 32, 128), g),
        filtered(another(stride=(1, 2)), draw(8, 32, 32, 128), g),
        filtered(another(padding=((1, 1), (2, 0))), x, g),
        filtered(another(padding=((2, 0), (1, 1))), x, g),
        filtered(another(padding=((1, 1), (2, 2)), rhs_dilation=(1, 2)), x, g),
        filtered(another(padding=((1, 1), (1, 1))), x, g[:, :1]),
        filtered(another(precision=("default", "highest")), x, g),
        filtered(jax.shard_map(convolution, mesh=mesh, in_specs=(PartitionSpec("batch"),
            PartitionSpec()), out_specs=PartitionSpec("batch")), over_two, g),
        filtered(another(given="NCHW"), draw(4, 128, 32, 64), g),
        filtered(another(result="NCHW"), draw(4, 32, 64, 128), g),
        filtered(convolution, x.astype(jnp.bfloat16), g.astype(jnp.bfloat16)),
        filtered(another(precision="highest"), x, g),
        filtered(jax.default_matmul_precision("float32")(lambda x, g: convolution(x, g)), x, g),
        filtered(convolution, over_two, g),
        filtered(convolution, *on_an_explicit_mesh),
    ],
}))
"""


def test_large_ones_are_told_to_jax_with_their_derivatives():
    flags = "--xla_force_host_platform_device_count=2"
    found = json.loads(child(CODE, XLA_FLAGS=flags))
    assert max(found["errors"]) < 2e-6 and len(found["errors"]) == 5
    assert found["chosen"] == [1, 5, 1]  # five, two of them in forward mode
    assert found["trained"] == [1, 1]  # what training leaves of smaller ones is larger here
    assert not any(found["left"])


IN_ORDER = """
import itertools, json, re, jax, jax.numpy as jnp, numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scoresde.speed import convolutions

rng = np.random.default_rng(0)
draw = lambda shape, names, dtype: jnp.asarray(
    rng.normal(size=[shape[name] for name in names]), dtype)
# Sizes that all differ, so that nothing fits where it does not belong.
SIZES = {"N": 6, "C": 4, "H": 7, "W": 5, "D": 8}
TAPS = {"I": 4, "O": 10, "H": 3, "W": 2, "D": 1}

def case(given, of_kernel, result, dtype="float32", groups=1, batches=1, **options):
    x = draw(SIZES, given, dtype)
    kernel = draw({**TAPS, "I": 4 // groups}, of_kernel, dtype)
    pixels = len(given) - 2
    options = {"window_strides": (1,) * pixels, "padding": "SAME", **options}
    f = lambda x, kernel: lax.conv_general_dilated(
        x, kernel, dimension_numbers=(given, of_kernel, result),
        feature_group_count=groups, batch_group_count=batches, **options)
    return f, x, kernel

CASES = {
    "plain": case("NHWC", "HWIO", "NHWC"),
    "torch": case("NCHW", "OIHW", "NCHW"),
    "odd": case("WNCH", "IHOW", "CWHN"),
    "line": case("CNH", "OHI", "HNC"),
    "solid": case("NCHWD", "OIHWD", "NHWDC"),
    "strided": case("NCHW", "OIHW", "NCHW", window_strides=(2, 3), padding=((1, 0), (0, 2))),
    "dilated": case("CHWN", "IHWO", "NHWC", lhs_dilation=(2, 1), rhs_dilation=(1, 2),
                    padding=((1, 2), (0, 1))),
    "groups": case("NCHW", "OIHW", "NCHW", groups=2),
    "batches": case("CHWN", "IHWO", "NHWC", batches=2),
    "narrow": case("NCHW", "OIHW", "NCHW", "bfloat16"),
    "wider": case("NCHW", "OIHW", "NCHW", "bfloat16", preferred_element_type=jnp.float32),
    "complex": case("NCHW", "OIHW", "NCHW", "complex64"),
}

def everything(f, x, kernel):
    y, back = jax.vjp(f, x, kernel)
    y, dx, dkernel = y, *back(y)
    mapped = jax.vmap(f, (1, None))(jnp.stack([x, 2 * x], 1), kernel)
    return y, dx, dkernel, jax.jvp(f, (x, kernel), (dx, dkernel))[1], mapped

def results():
    jax.clear_caches()
    # In a function of the program, as in a loop.
    run = jax.jit(lambda *c: jax.jit(everything, static_argnums=0)(*c), static_argnums=0)
    return {name: [np.asarray(y, np.complex128) for y in run(*c)] for name, c in CASES.items()}

def in_loops(x, kernel):  # as samplers and parts of a batch differentiate them
    def loss(x, kernel):
        return jnp.square(CASES["plain"][0](x, kernel)[..., :4]).sum()
    def turn(_, given):
        return jax.tree.map(lambda v, d: v - 1e-3 * d, given, jax.grad(loss, (0, 1))(*given))
    return lax.fori_loop(0, 2, turn, (x, kernel))

def in_a_branch(f):
    return lambda x, kernel: lax.cond(x.sum() > 0, f, lambda *given: -f(*given), x, kernel)

def orders(f, *given):
    text = jax.jit(f).lower(*given).as_text()
    return sorted(set(re.findall("dim_numbers = .*?->.*?]", text)))

before = results()
looped = jax.jit(in_loops)(*CASES["plain"][1:])
convolutions.choose_convolutions()
after = results()
f, x, kernel = CASES["torch"]
mesh = Mesh(jax.devices(), ("batch",))
placed = [jax.device_put(v, NamedSharding(mesh, PartitionSpec(*s)))
          for v, s in ((x, ["batch"]), (kernel, []))]
exported = jax.export.export(jax.jit(f), platforms=["cpu"])(
    jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 4, 7, 5"), jnp.float32), kernel)
explicit = Mesh(jax.devices()[:1], ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
there = jax.device_put((x, kernel), NamedSharding(explicit, PartitionSpec()))

def apart(found, expected):
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(found, expected))

print(json.dumps({
    "errors": {name: apart(after[name], before[name]) for name in CASES},
    "looped": apart(jax.tree.map(np.asarray, jax.jit(in_loops)(*CASES["plain"][1:])), looped),
    "orders": [orders(way(f), x, kernel) for way in (in_a_branch, jax.jit)]
    + [orders(in_loops, *CASES["plain"][1:])],
    "left": [orders(f, x, kernel), orders(in_a_branch(f), *there)],
    "devices": apart([np.asarray(jax.jit(f)(*placed))], before["torch"]),
    "exported": apart([np.asarray(exported.call(x[:3], kernel))], [before["torch"][0][:3]]),
}))
"""


def test_whatever_order_they_are_given_in_xla_gets_its_own():
    found = json.loads(child(IN_ORDER, XLA_FLAGS="--xla_force_host_platform_device_count=2"))
    for name, error in found["errors"].items():
        assert error < (2e-2 if name in ("narrow", "wider") else 2e-6), name
    assert max(found["looped"], found["devices"], found["exported"]) < 2e-6
    xlas, torchs = (
        [f"dim_numbers = [{x}]x[{kernel}]->[{x}]"]
        for x, kernel in (("b, 0, 1, f", "0, 1, i, o"), ("b, f, 0, 1", "o, i, 0, 1"))
    )
    assert found["orders"] == [xlas] * 3
    assert found["left"] == [torchs] * 2  # by XLA in the main function, by JAX on explicit meshes


def test_what_is_unexpected_is_left_to_jax():
    assert not convolutions._is_worth_it(None, {})
    assert not convolutions._is_out_of_order(None, {})


def test_many_cores_and_a_jax_that_has_another_rule(monkeypatch):
    # Not set in this process, which has tests of what JAX does by itself.
    monkeypatch.setattr("jax.interpreters.mlir.register_lowering", lambda *_, **__: None)
    monkeypatch.setenv("SCORESDE_FAST", "1")
    monkeypatch.setattr(convolutions, "cores_are_few", lambda: False)
    assert convolutions.choose_convolutions().value == "in XLA's order"
    monkeypatch.setattr(convolutions, "cores_are_few", lambda: True)
    assert "F(2x2, 3x3)" in convolutions.choose_convolutions().value
    monkeypatch.setattr(convolutions, "_COMPLEX", "no_option_of_that_name")
    assert "another way" in convolutions.choose_convolutions().why
