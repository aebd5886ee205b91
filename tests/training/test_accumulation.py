"""Gradients of a batch in parts."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import training
from scoresde.training.accumulation import accumulated
from scoresde.training.loss_fn import checked

from . import toy


def gradients(loss_fn, accumulate):
    """(loss, metrics), gradient of the first batch, whole or in parts."""
    gradient_fn = jax.value_and_grad(checked(loss_fn), has_aux=True)
    if accumulate > 1:
        gradient_fn = accumulated(gradient_fn, accumulate, training.make_mesh())
    batch = {"image": next(toy.ToyLoader())["image"][0]}
    return jax.jit(gradient_fn)(toy.make_params(), jax.random.key(0), batch)


def test_the_mean_over_parts_is_that_of_the_whole_batch():
    def deterministic(params, key, batch):
        del key
        x = batch["image"]
        return jnp.mean((toy.apply(params, x) - x) ** 2), {"mean": jnp.mean(x)}

    jax.tree.map(
        lambda parts, whole: np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6),
        gradients(deterministic, 4),
        gradients(deterministic, 1),
    )


def test_each_part_remembers_what_the_one_before_it_left():
    def counting(params, key, batch, memory):
        loss = jnp.mean(toy.apply(params, batch["image"]) ** 2)
        return loss, {"before": memory["sum"]}, {"sum": memory["sum"] + jnp.sum(batch["image"])}

    gradient_fn = jax.value_and_grad(checked(counting), has_aux=True)
    parts = accumulated(gradient_fn, 2, training.make_mesh())
    x = next(toy.ToyLoader())["image"][0]
    inputs = toy.make_params(), jax.random.key(0), {"image": x}, {"sum": jnp.float32(3.0)}
    (_, (metrics, memory)), _ = jax.jit(parts)(*inputs)
    np.testing.assert_allclose(memory["sum"], 3 + x.sum(), rtol=1e-5)
    np.testing.assert_allclose(metrics["before"], 3 + x[::2].sum() / 2, rtol=1e-5)


def test_parts_draw_different_noise():
    def noisy(params, key, batch):
        return jnp.mean(toy.apply(params, batch["image"]) ** 2), {"z": jax.random.normal(key)}

    (_, (metrics, _)), _ = gradients(noisy, 2)
    want = np.mean([jax.random.normal(key) for key in jax.random.split(jax.random.key(0), 2)])
    np.testing.assert_allclose(metrics["z"], want, rtol=1e-6)
