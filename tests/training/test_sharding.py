"""One device here; test_processes.py has eight, and two processes."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from scoresde import training
from scoresde.registry import UsageError


class EightDevices:
    """As much of a mesh as `check_divisible` looks at."""

    size = 8


def test_mesh():
    mesh = training.make_mesh(jax.devices()[:1])
    assert mesh.axis_names == ("data",)
    assert mesh.axis_types == (AxisType.Auto,)
    assert mesh.size == 1


def test_check_divisible_names_the_sizes_that_work():
    training.check_divisible(64, EightDevices)
    with pytest.raises(UsageError) as error:
        training.check_divisible(100, EightDevices)
    assert str(error.value) == (
        "A batch of 100 cannot be split evenly over 8 devices; "
        "the nearest sizes that can: 96 and 104."
    )
    with pytest.raises(UsageError, match=r"8 devices; the nearest sizes that can: 8."):
        training.check_divisible(3, EightDevices)
    with pytest.raises(UsageError, match=r"in 3 accumulated parts; .* that can: 48 and 72"):
        training.check_divisible(64, EightDevices, accumulate=3)


def test_shard_batch():
    mesh = training.make_mesh()
    batch = {"image": np.arange(24.0).reshape(2, 4, 3), "label": np.arange(8).reshape(2, 4)}
    sharded = training.shard_batch(mesh, batch, axis=1)
    assert sharded["image"].sharding.spec == PartitionSpec(None, "data")
    np.testing.assert_array_equal(sharded["image"], batch["image"])
    np.testing.assert_array_equal(sharded["label"], batch["label"])
    with pytest.raises(UsageError, match=r"shape \(8,\), which has no batch axis 1"):
        training.shard_batch(mesh, {"label": np.arange(8)}, axis=1)


def test_replicate_takes_typed_keys():
    mesh = training.make_mesh()
    tree = training.replicate(mesh, {"key": jax.random.key(3), "x": np.ones(2)})
    assert tree["x"].sharding == training.replicated(mesh)
    assert jax.random.key_data(tree["key"]).tolist() == [0, 3]
