"""NCSN++: its switches, what each does to the output, its size, and its refusals."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from scoresde import networks
from scoresde.networks import adm_trunk, blocks, embeddings
from scoresde.registry import UsageError


@pytest.mark.parametrize("resblock_type", ["biggan", "ddpm"])
@pytest.mark.parametrize("progressive", ["none", "output_skip", "residual"])
@pytest.mark.parametrize(
    "progressive_input, combine",
    [("none", "sum"), ("input_skip", "sum"), ("input_skip", "cat"), ("residual", "sum")],
)
def test_every_combination_of_switches_is_a_network(
    small, resblock_type, progressive, progressive_input, combine
):
    network = small(
        nf=16,
        ch_mult=(1, 2),
        attn_resolutions=(4,),
        resblock_type=resblock_type,
        progressive=progressive,
        progressive_input=progressive_input,
        progressive_combine=combine,
    )
    x = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    sigma = jax.ShapeDtypeStruct((2,), jnp.float32)
    output, _ = jax.eval_shape(network.module.init_with_output, jax.random.key(0), x, sigma)
    assert (output.shape, output.dtype) == (x.shape, jnp.float32)


@pytest.fixture(scope="module")
def standard(small, randomized, images):
    """The small network, its parameters and its output on the images."""
    network = small()
    params = randomized(network)
    return network, params, jax.jit(network.apply)(params, *images)


def test_one_exported_program_takes_any_batch(standard, images):
    network, params, output = standard
    (batch,) = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *array.shape[1:]), array.dtype) for array in images]
    exported = export.export(jax.jit(network.apply))(params, *shapes)
    one = exported.call(params, *(array[:1] for array in images))
    np.testing.assert_allclose(one, output[:1], rtol=1e-4, atol=1e-5)


def relative(a, b):
    return float(jnp.linalg.norm(a - b) / jnp.linalg.norm(b))


def test_samples_do_not_see_each_other(standard, images):
    network, params, output = standard
    x, sigma = images

    @jax.jit
    @jax.vmap
    def alone(x, sigma):
        return network.apply(params, x[None], sigma[None])[0]

    np.testing.assert_allclose(alone(x, sigma), output, rtol=1e-4, atol=1e-5)


def test_every_parameter_is_used(standard, images):
    network, params, _ = standard
    x, sigma = (array[:1] for array in images)

    @jax.jit
    def gradient(params):
        return jax.grad(lambda params: jnp.sum(network.apply(params, x, sigma) ** 2))(params)

    leaves = jax.tree.leaves_with_path(gradient(params))
    dead = [jax.tree_util.keystr(path) for path, leaf in leaves if not jnp.any(leaf)]
    assert dead == ["['GaussianFourierProjection_0']['W']"]


@pytest.mark.parametrize("cls", [blocks.ResnetBlockBigGANpp, adm_trunk.ResnetBlockADM])
def test_rematerialization_changes_no_gradient(cls, images):
    x = np.tile(images[0], 4)[:, :4, :4, :8]
    embedding = np.ones((3, 4), np.float32)
    plain, rematerialized = cls(features=4), blocks.rematerialized(cls)(features=4)
    params = plain.init(jax.random.key(0), x, embedding)

    @functools.partial(jax.jit, static_argnums=0)
    def gradient(block, params):
        return jax.grad(lambda params: jnp.sum(block.apply(params, x, embedding) ** 2))(params)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        gradient(rematerialized, params),
        gradient(plain, params),
    )
    assert "remat" in str(jax.make_jaxpr(lambda p: gradient(rematerialized, p))(params))


def test_rematerialization_leaves_the_tree(small):
    trees = (small(remat=flag).parameter_shapes((8, 8, 3)) for flag in (True, False))
    assert len({jax.tree.structure(tree) for tree in trees}) == 1


def test_forward_and_reverse_derivatives_agree(small, randomized, images):
    network = small(progressive="output_skip")
    params = randomized(network)
    x, sigma = (array[:1] for array in images)
    generator = np.random.default_rng(2)
    v, u = (generator.standard_normal(x.shape, np.float32) for _ in range(2))

    @jax.jit
    def products(x):
        def function(x):
            return network.apply(params, x, sigma)

        forward = jax.jvp(function, (x,), (v,))[1]
        backward = jax.vjp(function, x)[1](u)[0]
        return jnp.vdot(u, forward), jnp.vdot(backward, v)

    forward, backward = products(x)
    np.testing.assert_allclose(forward, backward, rtol=1e-3)


def test_bfloat16_is_close_and_returns_float32(small, standard, images):
    _, params, output = standard
    low = jax.jit(small(dtype="bfloat16").apply)(params, *images)
    assert low.dtype == jnp.float32
    assert 1e-4 < relative(low, output) < 0.03


def test_fourier_features_of_great_conditions_are_rounded_as_edm_rounds_them():
    """EDM's v may be 999: the angle is v times the float32 (2 pi W), exact to its own rounding."""
    frequencies = np.float32([0.1, -17.3, 41.7])
    layer = embeddings.GaussianFourierProjection(3)
    output = layer.apply({"params": {"W": frequencies}}, np.float32([999.0]))[0]
    angle = np.float32(999.0) * (np.float32(2 * np.pi) * frequencies)
    expected = np.concatenate([np.sin(angle.astype(float)), np.cos(angle.astype(float))])
    np.testing.assert_allclose(output, expected, atol=1e-5)


def test_output_is_divided_by_sigma(small, standard, images):
    _, params, output = standard
    sigma = images[1][:, None, None, None]
    unscaled = jax.jit(small(scale_by_sigma=False).apply)(params, *images)
    np.testing.assert_allclose(output * sigma, unscaled, rtol=1e-5)


def test_a_positional_network_divides_by_the_descending_table(small, randomized, images):
    x, _ = images
    index = np.array([0.0, 4.7, 9.0], np.float32)  # the second one rounds down
    options = {"embedding_type": "positional", "num_scales": 10}
    params = randomized(small(**options))
    scaled, unscaled = (
        jax.jit(small(**options, scale_by_sigma=flag).apply)(params, x, index)
        for flag in (True, False)
    )
    sigma = np.array([50.0, 50.0 * (0.01 / 50) ** (4 / 9), 0.01])[:, None, None, None]
    np.testing.assert_allclose(scaled * sigma, unscaled, rtol=1e-4)


def test_data_in_the_unit_interval_are_centered_by_the_network(small, standard, images):
    _, params, output = standard
    x, sigma = images
    centered = jax.jit(small(centered=True).apply)(params, 2 * x - 1, sigma)
    np.testing.assert_allclose(centered, output, rtol=1e-4, atol=1e-5)


def test_an_unconditional_network_ignores_the_noise_level(small, randomized, images):
    network = small(conditional=False, scale_by_sigma=False)
    params = randomized(network)
    assert not any(name.startswith("Dense") for name in params)
    outputs = [jax.jit(network.apply)(params, images[0], sigma) for sigma in (0.1, 10.0)]
    np.testing.assert_array_equal(*outputs)


def test_labels_condition_and_no_class_is_the_last_one(small, randomized, images):
    network = small(num_classes=10)
    params = randomized(network)
    apply = jax.jit(network.apply)
    classes = [apply(params, *images, {"label": np.full(3, label)}) for label in (0, 1, 10)]
    assert relative(classes[0], classes[1]) > 1e-2
    assert relative(classes[0], classes[2]) > 1e-2
    assert relative(apply(params, *images), classes[2]) < 1e-5


def test_label_dropout_trains_some_samples_without_their_class(small, randomized, images):
    network = small(num_classes=10, label_dropout=0.5)
    params = randomized(network)
    x, sigma = (np.repeat(a[1:2], 64, axis=0) for a in images)
    apply = jax.jit(functools.partial(network.apply, train=True))
    trained = np.asarray(apply(params, x, sigma, {"label": np.full(64, 3)}, rng=jax.random.key(0)))
    first = np.array([relative(sample, trained[0]) < 1e-4 for sample in trained])
    assert 16 <= first.sum() <= 48
    others = trained[~first]
    assert all(relative(sample, others[0]) < 1e-4 for sample in others)

    layer = embeddings.ClassEmbedding(10, 4, dropout=0.5)
    variables = layer.init(jax.random.key(0), None, 1, train=False)
    kept, none = (
        layer.apply(variables, labels, 1, train=False)[0] for labels in (np.array([3]), None)
    )
    embedded = layer.apply(
        variables, np.full(64, 3), 64, train=True, rngs={"dropout": jax.random.key(0)}
    )
    is_kept, is_none = (np.isclose(embedded, vector).all(axis=1) for vector in (kept, none))
    assert np.array_equal(is_kept, ~is_none) and 16 <= is_none.sum() <= 48


def test_dropout_needs_training_and_a_key(small, standard, images):
    _, params, output = standard
    network = small(dropout=0.5)
    apply = jax.jit(network.apply, static_argnames="train")
    np.testing.assert_allclose(apply(params, *images), output, rtol=1e-5)
    first, again, other = (
        apply(params, *images, train=True, rng=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert relative(first, other) > 1e-2
    with pytest.raises(UsageError, match="rng=key"):
        network.apply(params, *images, train=True)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"progressive": "foo"}, "progressive='foo' is not one of 'none', 'output_skip'"),
        ({"embedding_type": "sinus"}, "embedding_type='sinus'"),
        ({"nonlinearity": "gelu"}, "nonlinearity='gelu'"),
        ({"nf": 2.5}, "nf must be an integer"),
        ({"ch_mult": []}, "ch_mult=\\[\\] must be a list of positive integers"),
        ({"ch_mult": "122"}, "ch_mult='122' must be a list"),
        ({"attn_resolutions": 16}, "attn_resolutions=16 must be a list"),
        ({"dropout": 1.0}, "dropout=1.0 must be a number in \\[0, 1\\)"),
        ({"sigma_min": 60.0}, "0 < sigma_min < sigma_max"),
        ({"label_dropout": 0.1}, "give num_classes"),
        ({"num_classes": 10, "conditional": False}, "conditional=True"),
        ({"dtype": "float16"}, "dtype='float16' is not one of 'float32', 'bfloat16'"),
        ({"attention_implementation": "cudnn"}, "needs dtype='bfloat16'"),
        ({"num_res_block": 4}, "Did you mean 'num_res_blocks'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, message):
    with pytest.raises(UsageError, match=message) as error:
        networks.get("ncsnpp", **options)
    assert "\n" not in str(error.value)


def test_images_that_cannot_be_halved_are_refused(small):
    with pytest.raises(UsageError, match="divisible by 2, but it is 7x8"):
        small(ch_mult=(1, 2)).init(jax.random.key(0), (7, 8, 3))


def test_widths_without_groups_are_refused(small):
    with pytest.raises(UsageError, match="cannot be normalized in 3 groups"):
        small(nf=14).init(jax.random.key(0), (8, 8, 3))
    with pytest.raises(UsageError, match=r"8 channels .* a multiple of 32\."):
        networks.get("ddpm", nf=8, ch_mult=(1,)).init(jax.random.key(0), (8, 8, 3))


def test_labels_for_an_unconditional_network_are_refused(standard, images):
    network, params, _ = standard
    with pytest.raises(UsageError, match="given labels"):
        network.apply(params, *images, {"label": np.zeros(3, np.int32)})
