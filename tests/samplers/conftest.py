"""What tests of samplers share."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import pytest

from scoresde.keys import sample_keys


@functools.partial(jax.jit, static_argnames="sampler")
def _walk(sampler, keys, x, times, steps, denoiser):
    def body(number, state):
        x, carry = state
        return sampler.step(keys, x, times[number], times[number + 1], denoiser, carry)

    state = x, sampler.init(x, denoiser, steps)
    return jax.lax.fori_loop(0, steps, body, state)[0]


def _silence(keys, shape, dtype):
    return jnp.zeros(shape, dtype)


@pytest.fixture(scope="session")
def walk():
    """(sampler, x, times, denoiser) -> where its steps lead without their noise, uncorrected."""

    def walk(sampler, x, times, denoiser):
        steps = len(times) - 1
        times = jnp.pad(jnp.asarray(times), (0, 511 - steps), mode="edge")
        keys = sample_keys(jax.random.key(0), len(x))
        with mock.patch("scoresde.samplers.dpm_multistep.normal", _silence):
            return _walk(sampler, keys, x, times, steps, denoiser)

    return walk
