"""Gradients of a batch in parts."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import training
from scoresde.training.accumulation import accumulated

from . import toy


def gradients(loss_fn, accumulate):
    """(loss, metrics), gradient of the first batch, whole or in parts."""
    gradient_fn = jax.value_and_grad(loss_fn, has_aux=True)
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


def test_parts_draw_different_noise():
    def noisy(params, key, batch):
        return jnp.mean(toy.apply(params, batch["image"]) ** 2), {"z": jax.random.normal(key)}

    (_, metrics), _ = gradients(noisy, 2)
    want = np.mean([jax.random.normal(key) for key in jax.random.split(jax.random.key(0), 2)])
    np.testing.assert_allclose(metrics["z"], want, rtol=1e-6)
