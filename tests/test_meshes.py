"""Arrays on meshes as `jax.make_mesh` makes them by default, whose axes are Explicit."""

import jax
import numpy as np
import pytest
from covering import covering
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from scoresde import likelihood, metrics, samplers, sdes
from scoresde.meshes import automatic
from scoresde.networks.dropout import Dropout
from scoresde.registry import UsageError

MESH = jax.make_mesh((1,), ("batch",), (AxisType.Explicit,), devices=jax.devices()[:1])


def explicit(x):
    return jax.device_put(np.asarray(x, np.float32), NamedSharding(MESH, PartitionSpec("batch")))


METHODS = {
    "sample": lambda key, denoiser, x: (
        samplers.sample(key, samplers.get("pc"), denoiser, x_init=x, steps=3).x
    ),
    "flow": lambda key, denoiser, x: (
        samplers.sample(key, samplers.get("probability_flow"), denoiser, x_init=x).x
    ),
    "encode": lambda key, denoiser, x: samplers.encode(denoiser, x)[0],
    "log_prob": lambda key, denoiser, x: likelihood.log_prob(key, denoiser, x).nats,
    "score_flow": lambda key, denoiser, x: (
        likelihood.ScoreFlowBound(samples=4, repeats=2)(key, denoiser, x).nats
    ),
}


@pytest.mark.parametrize("name", covering(METHODS, ("sample", "encode", "log_prob")))
def test_explicit_axes_give_what_arrays_without_a_mesh_do(name, mixture, key):
    x, denoiser = np.array([[0.5, 0.1], [-0.3, 0.2]], np.float32), mixture.denoiser(sdes.VP())
    np.testing.assert_array_equal(
        METHODS[name](key, denoiser, explicit(x)), METHODS[name](key, denoiser, x)
    )


def test_distances_of_samples_on_explicit_axes(key):
    x, y = np.random.default_rng(0).normal(size=(2, 8, 2)).astype(np.float32)
    for metric in (metrics.SlicedWasserstein(), metrics.EnergyDistance()):
        apart = metric(key, explicit(x), explicit(y))
        np.testing.assert_allclose(apart, metric(key, x, y), rtol=1e-6)


def test_an_array_stays_where_it_is():
    x = explicit(np.ones((4, 2)))
    moved = automatic({"x": x, "other": 3})
    assert moved["other"] == 3 and moved["x"].sharding.mesh.axis_types == (AxisType.Auto,)
    assert moved["x"].sharding.spec == x.sharding.spec
    assert moved["x"].unsafe_buffer_pointer() == x.unsafe_buffer_pointer()


def test_a_mesh_that_all_operations_are_under_is_refused(mixture, key):
    with jax.set_mesh(MESH), pytest.raises(UsageError, match="axis_types of Auto"):
        METHODS["sample"](key, mixture.denoiser(sdes.VP()), np.ones((2, 2), np.float32))
    with pytest.raises(UsageError, match="axis_types of Auto"):
        jax.jit(automatic)(explicit(np.ones(2)))


def test_dropout_on_explicit_axes():
    layer, x = Dropout(0.5, deterministic=False), np.ones((2, 4, 4, 8), np.float32)
    drop = jax.jit(lambda x: layer.apply({}, x, rngs={"dropout": jax.random.key(0)}))
    with jax.set_mesh(MESH):
        found = drop(explicit(x))
    np.testing.assert_array_equal(found, drop(x))
    assert 0 < np.count_nonzero(found) < found.size
