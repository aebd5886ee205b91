"""Interpolation between images along the latent space of the probability flow."""

import operator

import jax
import jax.numpy as jnp
from jax import Array

from scoresde.condition import Condition, check_condition
from scoresde.denoiser import BaseDenoiser
from scoresde.registry import UsageError, shown
from scoresde.samplers.driver import sample
from scoresde.samplers.probability_flow import ProbabilityFlow, encode


def spherical(z_a: Array, z_b: Array, fractions: Array) -> Array:
    """Spherical interpolation (Shoemake 1985), sample by sample.

    Args:
        z_a: [batch, ...], what fraction 0 is.
        z_b: [batch, ...], what fraction 1 is.
        fractions: [n].

    Returns:
        [n, batch, ...]. Between independent Gaussian draws, every point has their distribution,
        which linear interpolation would shrink.
    """

    def one(a, b, fraction):
        cosine = jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
        angle = jnp.maximum(jnp.arccos(jnp.clip(cosine, -1.0, 1.0)), 1e-4)  # nearly linear there
        return (jnp.sin((1 - fraction) * angle) * a + jnp.sin(fraction * angle) * b) / jnp.sin(
            angle
        )

    one = jax.vmap(one, in_axes=(0, 0, None))
    return jax.vmap(one, in_axes=(None, None, 0))(z_a, z_b, fractions)


def interpolate(
    denoiser: BaseDenoiser,
    x_a: Array,
    x_b: Array,
    n: int,
    *,
    condition: Condition = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    method: str = "dopri5",
) -> Array:
    """A path of images from x_a to x_b: both encoded, their latents interpolated, decoded again.

    Args:
        denoiser: the denoiser.
        x_a: images [batch, ...].
        x_b: as many.
        n: number of images on a path, both ends included; >= 2.
        condition: what is known of each pair, arrays [batch, ...] by name; the whole path has it.
        rtol: relative tolerance of the probability flow.
        atol: absolute tolerance.
        method: a name of `scoresde.ode.METHODS`.

    Returns:
        [n, batch, ...]; the first is x_a and the last x_b, up to the solver's error.

    Raises:
        UsageError: the shapes differ, or n is no integer of at least 2.
    """
    try:
        n, enough = operator.index(n), n >= 2
    except TypeError:
        enough = False
    if x_a.shape != x_b.shape or not enough:
        raise UsageError(
            f"interpolate() needs two arrays of one shape and an integer n >= 2, got {x_a.shape}, "
            f"{x_b.shape} and n={shown(n)}."
        )
    batch = len(x_a)
    condition = check_condition(condition, batch, denoiser)

    def repeated(times):
        return jax.tree.map(lambda rows: jnp.concatenate([rows] * times), condition)

    options = {"rtol": rtol, "atol": atol, "method": method}
    ends = jnp.concatenate([x_a, x_b])
    latents, _ = encode(denoiser, ends, condition=repeated(2), **options)
    path = spherical(latents[:batch], latents[batch:], jnp.linspace(0, 1, n))
    samples = sample(
        jax.random.key(0),  # the flow is deterministic
        ProbabilityFlow(denoise="none", **options),
        denoiser,
        x_init=path.reshape(n * batch, *x_a.shape[1:]),
        condition=repeated(n),
    )
    return samples.x.reshape(path.shape)
