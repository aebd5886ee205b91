"""Means over parts of a batch: right over devices and pieces, and logged where there are any."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import training
from scoresde.training.accumulation import accumulated
from scoresde.training.loss_fn import checked
from scoresde.training.part_means import PartMeans, part_means, scalars

from . import toy


def parts_of(x):
    """Three parts by the sign and size of the first coordinate; few are in the last."""
    return jnp.where(x[:, 0] > 1.0, 2, jnp.where(x[:, 0] > 0, 1, 0))


def loss_fn(params, key, batch):
    """Metrics by parts, with a fourth part that nothing is in."""
    error = jnp.mean((toy.apply(params, batch["image"]) - batch["image"]) ** 2, axis=-1)
    return jnp.mean(error), {"parts": part_means(error, parts_of(batch["image"]), 4)}


def by_hand():
    x = next(toy.ToyLoader())["image"][0]
    error = np.mean((np.asarray(toy.apply(toy.make_params(), x)) - x) ** 2, axis=-1)
    part = np.asarray(parts_of(x))
    return {f"parts/{n}": error[part == n - 1].mean() for n in (1, 2, 3)}


def test_pieces_of_a_batch_give_the_means_of_the_whole():
    batch, want = {"image": next(toy.ToyLoader())["image"][0]}, by_hand()
    for accumulate in (1, 8):  # pieces of two samples: most parts are empty in most of them
        gradient_fn = jax.value_and_grad(checked(loss_fn), has_aux=True)
        if accumulate > 1:
            gradient_fn = accumulated(gradient_fn, accumulate, training.make_mesh())
        (_, (metrics, _)), _ = jax.jit(gradient_fn)(toy.make_params(), jax.random.key(0), batch)
        found = scalars(jax.tree.map(lambda leaf: np.asarray(leaf)[None], metrics), 0)
        assert found.keys() == want.keys()  # and no parts/4
        for name, value in want.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5)


def test_a_train_step_stacks_and_the_log_divides_them(tmp_path):
    optimizer, mesh = toy.make_optimizer(), training.make_mesh()
    step = training.make_train_step(
        loss_fn, optimizer, mesh, averages=toy.AVERAGES, steps_per_dispatch=2
    )
    training.train(
        toy.make_state(), step, toy.ToyLoader(2), mesh=mesh, workdir=tmp_path, num_steps=2,
        log_every=1, learning_rate=lambda made: 0.5 + made,
    )  # fmt: skip
    first, second = training.read_log(tmp_path)
    for name, value in by_hand().items():
        np.testing.assert_allclose(first[name], value, rtol=1e-5)
    assert first["parts/1"] != second["parts/1"] and "parts/4" not in first
    assert [first["learning_rate"], second["learning_rate"]] == [0.5, 1.5]
    params = toy.make_params()
    norm = np.sqrt(sum(np.sum(leaf**2) for leaf in jax.tree.leaves(params)))
    np.testing.assert_allclose(first["param_norm"], norm, rtol=0.05)  # after one small update


def test_a_value_that_is_no_number_stays_in_its_part():
    values, part = jnp.array([1.0, jnp.nan, 3.0, 5.0]), jnp.array([0, 1, 2, 2])
    found = part_means(values, part, 3)
    assert isinstance(found, PartMeans)
    row = scalars({"a": jax.tree.map(lambda leaf: leaf[None], found), "b": np.array([7.0])}, 0)
    assert row.pop("a/2") != row.get("a/2", 0.0)
    assert row == {"a/1": 1.0, "a/3": 4.0, "b": 7.0}
