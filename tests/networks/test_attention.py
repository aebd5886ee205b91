"""Attention: its definition, its heads, and which kernels compute it when."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import attention
from scoresde.registry import UsageError


@pytest.fixture(scope="module")
def arrays():
    """Queries, keys and values [2, 9, 3, 4]: nine pixels, three heads of four channels."""
    generator = np.random.default_rng(0)
    return [generator.standard_normal((2, 9, 3, 4), np.float32) for _ in range(3)]


def test_attention_is_its_definition(arrays):
    query, key, value = (np.moveaxis(array, 2, 1) for array in arrays)
    weights = np.exp(query @ np.swapaxes(key, -1, -2) / 2)
    expected = weights / weights.sum(axis=-1, keepdims=True) @ value
    output = attention.attend(*map(jnp.asarray, arrays))
    np.testing.assert_allclose(np.moveaxis(output, 2, 1), expected, rtol=1e-4, atol=1e-5)


WAYS = {
    "backward": lambda f, arrays, v: jax.vjp(f, *arrays)[1](v),
    "forward": lambda f, arrays, v: jax.jvp(f, arrays, arrays[::-1])[1],
    "twice": lambda f, arrays, v: jax.jvp(
        lambda *arrays: jax.vjp(f, *arrays)[1](v), arrays, arrays[::-1]
    )[1],
}


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_derivatives_are_those_of_jaxs_own_attention(arrays, way, count):
    arrays = tuple(jnp.asarray(array[-count:]).at[0, 2, 1].set(jnp.nan) for array in arrays)
    found, expected = (
        jax.jit(functools.partial(WAYS[way], f))(arrays, jnp.cos(arrays[0]))
        for f in (attention.attend, jax.nn.dot_product_attention)
    )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert jnp.isnan(one).any() and (count == 1 or jnp.isfinite(one[1]).all())
        np.testing.assert_allclose(one, other, 1e-4, 1e-5)


def test_of_the_weights_alone_a_derivative_is_made(arrays):
    """Not of exponentials and their sums again, so that both would be kept."""

    def loss(*arrays):
        return jnp.sin(attention.attend(*arrays)).sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss, (0, 1, 2)))(*map(jnp.asarray, arrays)).jaxpr
    (settled,) = (eqn for eqn in jaxpr.eqns if eqn.primitive.name == "settled")
    (quotients,), (weights,) = settled.invars, settled.outvars
    after = jaxpr.eqns[jaxpr.eqns.index(settled) + 1 :]
    assert not any(quotients is x for eqn in after for x in eqn.invars)
    assert (
        sum(weights is x for eqn in after for x in eqn.invars) == 4
    )  # of two products, of two rules


def test_logits_and_softmax_are_float32_in_bfloat16(arrays):
    """Logits near 300 that differ by 1: bfloat16 has 8 bits, so that it would not tell them."""
    query = jnp.full((1, 1, 1, 4), 150.0, jnp.bfloat16)
    key = jnp.stack([jnp.full(4, 1.0), jnp.array([1.0, 1.0, 1.0, 1.015625])])
    key = key.reshape(1, 2, 1, 4).astype(jnp.bfloat16)
    value = jnp.array([0.0, 1.0], jnp.bfloat16).reshape(1, 2, 1, 1) * jnp.ones(4, jnp.bfloat16)
    output = attention.attend(query, key, value)
    expected = 1 / (1 + np.exp(-150 * 0.015625 / 2))
    np.testing.assert_allclose(np.asarray(output, np.float32), expected, rtol=1e-2)


@pytest.fixture
def kernels(monkeypatch):
    """Records which implementations are asked for, and computes with XLA's; claims a GPU."""
    asked, original = [], attention._as_products

    @jax.custom_vjp
    def without_forward_mode(query, key, value):
        return original(query, key, value)

    without_forward_mode.defvjp(
        lambda *arguments: jax.vjp(original, *arguments), lambda pull, output: pull(output)
    )

    def cudnn(query, key, value, implementation):
        asked.append(implementation)
        return without_forward_mode(query, key, value)

    def as_products(query, key, value):
        asked.append("xla")
        return original(query, key, value)

    monkeypatch.setattr(jax.nn, "dot_product_attention", cudnn)
    monkeypatch.setattr(attention, "_as_products", as_products)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    return asked


@pytest.fixture(scope="module")
def fused(small, randomized):
    """The small network with cuDNN's attention, and its parameters."""
    network = small(dtype="bfloat16", attention_implementation="cudnn")
    return network, randomized(network)


def test_cudnn_computes_and_trains(kernels, fused, images):
    network, params = fused
    jax.eval_shape(network.apply, params, *images)

    def loss(params):
        return jnp.sum(network.apply(params, *images, train=True) ** 2)

    jax.eval_shape(jax.grad(loss), params)
    assert set(kernels) == {"cudnn"}


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f, x: jax.jvp(f, (x,), (x,)),
        lambda f, x: jax.vmap(jax.linearize(f, x)[1])(jnp.stack([x, x])),
        lambda f, x: jax.grad(lambda x: f(x).sum())(x),
    ],
    ids=["jvp", "linearize", "grad"],
)
def test_derivatives_that_may_be_forward_take_xla(kernels, fused, images, derivative):
    network, params = fused
    x, sigma = images
    jax.eval_shape(lambda x: derivative(lambda x: network(params, x, sigma), x), x)
    assert set(kernels) == {"xla"}


def test_a_derivative_of_compiled_code_takes_xla(kernels, arrays):
    """The undifferentiated program is traced there too, but it is not what runs."""

    def derivative(implementation):
        def function(query):
            return attention.attend(query, *map(jnp.asarray, arrays[1:]), implementation)

        return jax.jvp(jax.jit(function), (arrays[0],), (arrays[1],))

    ours, expected = derivative("cudnn"), derivative("xla")
    assert kernels[0] == "cudnn"
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, expected)


def test_cudnn_needs_a_gpu_only_to_run(fused, images):
    network, params = fused
    assert network.parameter_shapes((8, 8, 3)).keys() == params.keys()
    with pytest.raises(UsageError, match="set it to 'xla'"):
        jax.eval_shape(network.apply, params, *images)
