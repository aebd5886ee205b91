"""Group normalization against its definition, in both of its forms; samples apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde.networks import group_norm, layers
from scoresde.registry import UsageError

SHAPE, GROUPS = (3, 4, 2, 12), 3
FORMS = {"cpu": group_norm.by_steps, "else": group_norm.by_channels}


@pytest.fixture(params=FORMS)
def normalize(request):
    options = {"groups": GROUPS, "epsilon": 1e-6, "dtype": jnp.dtype("float32")}
    return jax.jit(functools.partial(FORMS[request.param], **options))


@pytest.fixture
def arrays():
    """x, shift, scale and bias."""
    rng = np.random.default_rng(0)
    x = rng.normal(2.0, 3.0, SHAPE).astype(np.float32)
    return x, *rng.normal(size=(3, 12)).astype(np.float32)


def definition(x, shift, scale, bias):
    """In float64."""
    x = np.asarray(x, np.float64) + np.asarray(shift, np.float64)[..., None, None, :]
    grouped = x.reshape(SHAPE[0], -1, GROUPS, 4)
    mean, variance = (f(grouped, axis=(1, 3), keepdims=True) for f in (np.mean, np.var))
    return ((grouped - mean) / np.sqrt(variance + 1e-6)).reshape(SHAPE) * scale + bias


def test_it_is_its_definition(normalize, arrays):
    np.testing.assert_allclose(normalize(*arrays), definition(*arrays), rtol=1e-5, atol=1e-5)


def test_a_modulation_and_an_activation_come_last():
    x, shift, factor, addend = np.random.default_rng(0).normal(size=(4, 3, 4, 2, 12)).astype("f4")
    layer = group_norm.GroupNorm(GROUPS, activation=layers.swish)
    scale, bias = factor[0, 1, 1], addend[0, 1, 1]
    variables = {"params": {"scale": scale, "bias": bias}}
    shift, *modulation = (each[:, 0, 0] for each in (shift, factor, addend))
    y = definition(x, shift, scale, bias)
    y = y * (1 + factor[:, :1, :1]) + addend[:, :1, :1]
    np.testing.assert_allclose(
        layer.apply(variables, x, shift, modulation), y / (1 + np.exp(-y)), rtol=1e-4, atol=1e-5
    )


def test_each_image_has_its_own_shift(normalize, arrays):
    x, _, scale, bias = arrays
    shift = np.random.default_rng(1).normal(size=(3, 12)).astype(np.float32)
    expected = definition(x, shift, scale, bias)
    np.testing.assert_allclose(normalize(x, shift, scale, bias), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean, error", [(0, 3e-7), (30, 2e-6), (300, 3e-5)])
def test_a_large_mean_costs_no_more_digits_than_it_must(normalize, arrays, mean, error):
    x, *others = arrays
    x = x / 3 + np.float32(mean)
    expected = definition(x, *others)
    found = normalize(x, *others)
    assert np.linalg.norm(found - expected) < error * np.linalg.norm(expected)


@pytest.mark.parametrize("mean", [0, 30])
def test_sixteen_bits_lose_less_than_their_own_rounding(normalize, arrays, mean):
    x, *others = arrays
    x = jnp.asarray(x / 3 + mean, jnp.bfloat16)
    expected = definition(np.asarray(x, np.float64), *others)
    assert np.linalg.norm(normalize(x, *others) - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize("shift, error", [(30, 3e-6), (1000, 1e-4)])
def test_sixteen_bits_keep_the_digits_of_what_is_added(normalize, arrays, shift, error):
    x, _, scale, bias = arrays
    x, shift = jnp.asarray(x / 3, jnp.bfloat16), np.full(12, shift, np.float32)
    expected = definition(np.asarray(x, np.float64), shift, scale, bias)
    found = normalize(x, shift, scale, bias)
    assert np.linalg.norm(found - expected) < error * np.linalg.norm(expected)


@pytest.mark.parametrize("type_", ["float32", "bfloat16"])
def test_a_constant_map_is_finite_and_so_is_its_derivative(normalize, arrays, type_):
    _, shift, scale, bias = arrays
    x = jnp.full(SHAPE, 10.0, type_)
    found, pullback = jax.vjp(lambda x: normalize(x, 0 * shift, scale, bias), x)
    np.testing.assert_allclose(found, np.broadcast_to(bias, SHAPE), atol=1e-2)
    assert np.isfinite(np.asarray(pullback(jnp.ones(SHAPE))[0], np.float32)).all()


def test_rounding_makes_no_variance_negative(normalize, arrays):
    _, shift, scale, bias = arrays
    count, shape = np.arange(1, 90).reshape(-1, 1, 1), (89, 1024, 12)
    x = np.where(np.arange(1024)[:, None] < count, 100.0625, 100.0) * np.ones(shape)
    x = jnp.asarray(x.reshape(89, 32, 32, 12), jnp.float16)
    assert np.isfinite(normalize(x, 0 * shift, scale, bias)).all()


@pytest.mark.parametrize("activation", [group_norm._identity, layers.swish])
@pytest.mark.parametrize("shift", ["of all", "of each", "none"])
def test_both_forms_have_the_same_derivatives_first_and_second(arrays, shift, activation):
    arrays = [np.float64(each) for each in arrays]
    v = np.random.default_rng(2).normal(size=SHAPE)
    options = {"groups": GROUPS, "epsilon": 1e-6, "dtype": jnp.dtype("float64")}
    options["activation"] = activation
    if shift != "of all":
        arrays[1] = np.random.default_rng(3).normal(size=(3, 12)) if shift == "of each" else None

    def derivatives(form):
        def along(*arrays):  # of the directional derivative, for a second one
            f = functools.partial(form, **options)
            tangents = jax.tree.map(lambda each: 0.3 * each, (v / 0.3, *arrays[1:]))
            return jnp.sum(jnp.sin(jax.jvp(f, arrays, tangents)[1]))

        first = jax.vjp(functools.partial(form, **options), *arrays)[1](v)
        return [*first, *jax.grad(along, argnums=(0, 1, 2, 3))(*arrays)]

    with jax.enable_x64():
        by_steps, by_channels = (jax.jit(derivatives, static_argnums=0)(f) for f in FORMS.values())
        for one, other in zip(*map(jax.tree.leaves, (by_steps, by_channels)), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


def test_derivatives_in_both_modes_agree(normalize, arrays):
    x, *others = arrays
    v, g = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype(np.float32)
    _, tangent = jax.jvp(lambda x: normalize(x, *others), (x,), (v,))
    _, pullback = jax.vjp(lambda x: normalize(x, *others), x)
    np.testing.assert_allclose(np.sum(g * tangent), np.sum(pullback(g)[0] * v), rtol=1e-4)
    # What moves a group as a whole, or stretches it, changes nothing.
    _, along = jax.jvp(lambda x: normalize(x, *others), (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(along, 0, atol=1e-5)


def test_a_sample_that_is_not_finite_spoils_no_other(normalize, arrays):
    x, *others = arrays
    broken = x.copy()
    broken[1, 0, 0, 0] = np.nan
    whole, spoilt = normalize(*arrays), normalize(broken, *others)
    np.testing.assert_array_equal(np.delete(spoilt, 1, axis=0), np.delete(whole, 1, axis=0))


def test_there_may_be_no_image(normalize, arrays):
    x, *others = arrays
    assert normalize(x[:0], *others).shape == (0, *SHAPE[1:])


@pytest.mark.parametrize("platform, passes", [("cpu", 2), ("cuda", 1), ("tpu", 1)])
def test_a_map_of_sixteen_bits_is_read_once_for_both_sums(platform, passes):
    layer = group_norm.GroupNorm(dtype=jnp.bfloat16)
    x = jnp.ones((2, 8, 8, 16), jnp.bfloat16)
    variables = jax.eval_shape(layer.init, jax.random.key(0), x)
    lowered = jax.jit(layer.apply).trace(variables, x).lower(lowering_platforms=(platform,))
    operations = lowered.as_text().splitlines()
    assert sum("across dimensions = [1, 2]" in line for line in operations) == 2
    # A second pass takes the mean that the first one gave off the map.
    off = [line for line in operations if "subtract" in line and "tensor<2x8x8x16xf32>" in line]
    assert len(off) == passes - 1


@pytest.mark.parametrize("groups", [0, -2])
def test_a_number_of_groups_that_is_none_is_refused(groups):
    with pytest.raises(UsageError, match=f"at least one group, not in {groups}"):
        group_norm.GroupNorm(groups).init(jax.random.key(0), jnp.ones((1, 2, 2, 8)))


def test_no_number_given_is_four_channels_a_group_and_at_most_32_groups():
    for channels, groups in ((8, 2), (96, 24), (128, 32), (256, 32)):
        x = jax.random.normal(jax.random.key(0), (2, 2, 2, channels))
        layer = group_norm.GroupNorm()
        variables = layer.init(jax.random.key(0), x)
        told = group_norm.GroupNorm(groups).apply(variables, x)
        np.testing.assert_array_equal(layer.apply(variables, x), told)


def test_layers_of_one_shape_share_their_derivative():
    """Which is what a network's tracing and its program are made of."""
    layer, x = group_norm.GroupNorm(), jnp.ones((2, 4, 4, 16))
    variables = layer.init(jax.random.key(0), x)

    def of_three(variables, y):
        for _ in range(3):
            y = layer.apply(variables, y)
        return jnp.sum(jnp.square(y))

    text = jax.jit(jax.grad(of_three, (0, 1))).lower(variables, x).as_text()
    for name in ("_group_norm", "by_steps"):
        assert text.count(f"func.func private @{name}") == 2  # it, and its transpose
    assert text.count("call @_group_norm") == 6
