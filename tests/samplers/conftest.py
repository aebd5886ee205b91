"""What tests of samplers share."""

import functools

import jax
import jax.numpy as jnp
import pytest

from scoresde.keys import sample_keys


@functools.partial(jax.jit, static_argnames="sampler")
def _walk(sampler, keys, x, times, steps, denoiser):
    def body(number, state):
        x, carry = state
        _, x, carry = sampler.step(keys, x, times[number], times[number + 1], denoiser, carry)
        return x, carry

    state = x, sampler.init(x, denoiser, steps)
    return jax.lax.fori_loop(0, steps, body, state)[0]


@pytest.fixture(scope="session")
def walk():
    """(sampler, x, times, denoiser) -> the mean path's end: the sampler's steps without noise."""

    def walk(sampler, x, times, denoiser):
        steps = len(times) - 1
        times = jnp.pad(jnp.asarray(times), (0, 511 - steps), mode="edge")
        keys = sample_keys(jax.random.key(0), len(x))
        return _walk(sampler, keys, x, times, steps, denoiser)

    return walk
