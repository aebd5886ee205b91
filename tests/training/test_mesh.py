"""The mesh and the batch on it: one device here; test_processes.py has eight, and two processes."""

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from scoresde import training
from scoresde.registry import UsageError

from . import toy

EIGHT = AbstractMesh((8, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def test_a_mesh_has_the_axis_data_and_leaves_the_splitting_to_xla():
    mesh = training.make_mesh(jax.devices()[:1])
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)
    assert mesh.size == 1


def test_check_divisible_names_the_sizes_that_work():
    training.check_divisible(64, EIGHT)
    with pytest.raises(UsageError) as error:
        training.check_divisible(100, EIGHT)
    assert str(error.value) == (
        "A batch of 100 cannot be split evenly over 8 devices; "
        "the nearest sizes that can: 96 and 104."
    )
    with pytest.raises(UsageError, match=r"8 devices; the nearest sizes that can: 8."):
        training.check_divisible(3, EIGHT)
    with pytest.raises(UsageError, match=r"in 3 accumulated parts; .* that can: 48 and 72"):
        training.check_divisible(64, EIGHT, accumulate=3)


def test_the_batch_axis_is_split():
    mesh = training.make_mesh()
    batch = {"image": np.arange(24.0).reshape(2, 4, 3), "label": np.arange(8).reshape(2, 4)}
    sharded = training.shard_batch(mesh, batch, axis=1)
    assert sharded["image"].sharding.spec == PartitionSpec(None, "data")
    np.testing.assert_array_equal(sharded["image"], batch["image"])
    np.testing.assert_array_equal(sharded["label"], batch["label"])
    with pytest.raises(UsageError, match=r"shape \(8,\), which has no batch axis 1"):
        training.shard_batch(mesh, {"label": np.arange(8)}, axis=1)


@pytest.mark.parametrize(
    ("names", "kind", "words"),
    [
        (("data",), AxisType.Explicit, "The mesh's axis 'data' is Explicit, not Auto; make it"),
        (("batch",), AxisType.Auto, "has the axes 'batch' and none called 'data', over which"),
    ],
)
def test_a_mesh_that_cannot_be_used_is_refused_in_one_line(tmp_path, names, kind, words):
    mesh = jax.make_mesh((1,), names, (kind,), devices=jax.devices()[:1])
    for use in (
        lambda: training.check_mesh(mesh),
        lambda: toy.run(tmp_path, 1, mesh=mesh),
        lambda: training.make_eval_step(toy.loss_fn, mesh),
        lambda: training.place(mesh, toy.make_state()),
        lambda: training.replicate(mesh, toy.make_params()),
        lambda: training.shard_batch(mesh, np.zeros((4, 2))),
    ):
        with pytest.raises(UsageError, match=words) as error:
            use()
        assert "\n" not in str(error.value)


def test_the_default_mesh_of_jax_is_told_how_to_be_made():
    with pytest.raises(UsageError, match=r"make it with scoresde\.training\.make_mesh, or give"):
        training.check_mesh(jax.make_mesh((1,), ("data",)))


def test_an_explicit_mesh_that_is_set_for_all_is_refused():
    with (
        jax.set_mesh(jax.make_mesh((1,), ("data",))),
        pytest.raises(UsageError, match=r"mesh of jax\.set_mesh has an Explicit axis"),
    ):
        training.check_mesh(training.make_mesh())
