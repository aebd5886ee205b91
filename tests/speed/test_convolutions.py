"""Convolutions by minimal filtering are convolutions, and chosen where that pays."""

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
    return lax.conv_general_dilated(x, g, (stride, stride), padding,
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
convolutions.filter_minimally()
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


def test_what_is_unexpected_is_left_to_jax():
    assert not convolutions._is_worth_it(None, {})


def test_many_cores_and_a_jax_that_has_another_rule_keep_what_they_have(monkeypatch):
    monkeypatch.setenv("SCORESDE_FAST", "1")
    monkeypatch.setattr(convolutions, "cores_are_few", lambda: False)
    assert convolutions.filter_minimally().why == "more than four cores"
    monkeypatch.setattr(convolutions, "cores_are_few", lambda: True)
    monkeypatch.setattr(convolutions, "_COMPLEX", "no_option_of_that_name")
    assert "another way" in convolutions.filter_minimally().why
