"""The objective of the flow: a bound that is tight where it should be."""

import jax
import jax.numpy as jnp
import numpy as np

from scoresde import analytic, sdes
from scoresde.dequantization.objective import one_time_bound


def test_the_bound_is_tight_for_a_gaussian_with_its_exact_score():
    data = analytic.gaussian(np.full((2, 2, 1), 0.3), 0.2 * np.eye(4) + 0.05)
    denoiser = data.denoiser(sdes.VP(t_min=1e-3))
    images = data.sample(jax.random.key(0), 4)
    x = jnp.tile(images, (1024, 1, 1, 1))
    run = jax.jit(one_time_bound)
    means = np.array(
        [run(jax.random.key(seed), denoiser, x).reshape(-1, 4).mean(axis=0) for seed in range(32)]
    )
    error = means.std(axis=0, ddof=1) / np.sqrt(32)
    assert error.max() < 0.15
    assert (np.abs(means.mean(axis=0) - data.log_prob(images)) < 4 * error).all()
