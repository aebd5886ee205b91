"""Costs counted from jaxprs, against XLA's own count and closed forms."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from scoresde import networks
from scoresde.networks import cost


def array(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def counted_by_xla(function, *arguments):
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"padding": "VALID"},
        {"window_strides": (2, 1), "padding": ((0, 1), (2, 0))},
        {"rhs_dilation": (2, 4)},
        {"lhs_dilation": (2, 2), "padding": ((2, 1), (1, 2))},
        {
            "lhs_dilation": (3, 2),
            "rhs_dilation": (2, 1),
            "window_strides": (2, 3),
            "padding": ((3, 1), (0, 2)),
        },
        {"feature_group_count": 2},
        {"batch_group_count": 2},
    ],
)
def test_convolutions_are_counted_as_xla_does(options):
    def convolve(x, kernel):
        options_ = {"window_strides": (1, 1), "padding": "SAME"} | options
        return lax.conv_general_dilated(
            x, kernel, **options_, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    groups = options.get("feature_group_count", 1)
    arguments = array(4, 9, 8, 6), array(3, 3, 6 // groups, 4)
    assert cost.estimate(convolve, *arguments).flops == counted_by_xla(convolve, *arguments)


def test_matrix_products():
    def batched(a, b):
        return jnp.einsum("bij,bkj->bik", a, b)

    assert cost.estimate(batched, array(3, 4, 5), array(3, 6, 5)).flops == 2 * 3 * 4 * 5 * 6


def test_loops_and_branches():
    def repeated(turns):
        def function(a):
            return lax.scan(lambda a, _: (a @ a, None), a, length=turns)[0]

        return function

    def until(a):
        return lax.while_loop(lambda a: a.sum() < 1, lambda a: a @ a, a)

    def either(a):
        return lax.cond(a.sum() > 0, lambda a: a @ a @ a, lambda a: a, a)

    product = 2 * 8**3
    counts = [cost.estimate(f, array(8, 8)).flops for f in (repeated(5), until, either)]
    assert counts == [5 * product, product, 2 * product]


def test_memory_is_what_is_alive_at_once():
    size = 4 * 1000

    def units(function):
        return cost.estimate(function, array(1000)).peak_bytes / size

    assert units(lambda x: jnp.sin(jnp.cos(jnp.exp(x)))) == 2  # an argument and a result
    assert units(lambda x: (jnp.sin(x) + jnp.exp(x)) * 2) == 3

    def layers(count, wrap=lambda f: f):
        def loss(x):
            for _ in range(count):
                x = wrap(jnp.sin)(x)
            return x.sum()

        return jax.grad(loss)

    # The backward pass needs what every layer was given or, with checkpoints, only their inputs.
    assert units(layers(8)) - units(layers(4)) == 4
    blocks = jax.checkpoint(lambda x: jnp.sin(jnp.sin(jnp.sin(x))))
    assert units(layers(8, lambda _: blocks)) - units(layers(4, lambda _: blocks)) == 4


def test_a_network_costs_what_xla_counts():
    """XLA also counts elementwise arithmetic, which is little in a network of convolutions."""
    network = networks.get("ncsnpp", nf=64, ch_mult=(1,), num_res_blocks=1, attn_resolutions=())
    params = network.parameter_shapes((16, 16, 3))

    def gradient(params, x, sigma):
        return jax.grad(lambda params: jnp.sum(network(params, x, sigma) ** 2))(params)

    def forward_mode(params, x, sigma):
        return jax.jvp(lambda x: network(params, x, sigma), (x,), (x,))

    for function in (network, gradient, forward_mode):
        arguments = params, array(2, 16, 16, 3), array(2)
        flops = cost.estimate(function, *arguments).flops
        assert flops < counted_by_xla(function, *arguments) < 1.03 * flops
