"""Training by the variational bound: its value, its gradients, and what they do to a schedule."""

import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from scoresde import analytic, losses, predictions, sdes
from scoresde.registry import UsageError

PROBABILITIES = np.array([0.1, 0.4, 0.05, 0.3, 0.15])


@pytest.fixture(scope="module")
def levels():
    """Images of one pixel and five levels."""
    return jnp.asarray(np.random.default_rng(1).choice(5, size=(256, 1), p=PROBABILITIES))


@pytest.fixture(scope="module")
def loss():
    """The loss of the exact network, under a schedule that rises steeply in one place."""
    mixture = analytic.GaussianMixture(
        PROBABILITIES, np.linspace(-1, 1, 5)[:, None], np.zeros((5, 1, 1))
    )
    sde = sdes.learned_vp(gamma_min=-6.0, gamma_max=5.0, units=8)
    steep = sde.shape["log_height"].at[6].add(6.0)
    sde = dataclasses.replace(sde, shape={**sde.shape, "log_height": steep})

    def network(shift, x, log_sigma, condition, *, train, rng):
        # What is given to a network fixes alpha and sigma of a variance-preserving process.
        alpha, sigma = (jnp.exp(0.5 * jax.nn.log_sigmoid(sign * 2 * log_sigma)) for sign in (-1, 1))
        return mixture.posterior(x, alpha, sigma).noise + shift

    return losses.VariationalLoss(
        sde=sde,
        prediction=predictions.Noise(time_input=predictions.LogSigma(scale=1.0)),
        network=network,
        codec=types.SimpleNamespace(bins=5, level_range=(-1.0, 1.0)),
    )


def test_it_is_the_bound_in_bits_per_dim(loss, levels, key):
    """Of the exact network nothing is lost: it costs the images' own probabilities."""
    params = loss.parameters(jnp.zeros(()))
    assert loss.trained_sde(params).ends is loss.sde.ends
    value = jax.jit(loss)
    bits = np.array([value(params, key, levels) for key in jax.random.split(key, 64)])
    truth = -np.log2(PROBABILITIES[np.asarray(levels)]).mean()
    assert abs(bits.mean() - truth) < 4.5 * bits.std() / 8 + 1e-3
    assert bits.std() / 8 < 0.1 * truth


@pytest.mark.thorough
def test_training_lowers_the_variance_and_not_the_bound(loss, levels, key):
    """By optax: the shape moves, and where the bound is does not."""
    optimizer = optax.adam(0.1)
    params = loss.parameters(jnp.zeros(()))

    @jax.jit
    def train(params):
        def step(carry, key):
            params, state = carry
            gradient = jax.grad(loss)(params, key, levels)
            updates, state = optimizer.update(gradient["sde"]["shape"], state)
            shape = optax.apply_updates(params["sde"]["shape"], updates)
            return ({**params, "sde": {**params["sde"], "shape": shape}}, state), None

        start = params, optimizer.init(params["sde"]["shape"])
        return jax.lax.scan(step, start, jax.random.split(key, 50))[0][0]

    @jax.jit
    def moments(params):
        sde = loss.trained_sde(params)
        keys = jax.random.split(jax.random.fold_in(key, 1), 20)
        values = jax.lax.map(lambda key: loss.per_sample(0.0, sde, key, levels), keys)
        return jnp.mean(values), jnp.std(values), values.size

    mean, spread, count = moments(params)
    trained_mean, trained_spread, _ = moments(train(params))
    assert trained_spread < 0.85 * spread
    assert abs(trained_mean - mean) < 5 * spread / np.sqrt(count)


def test_the_gradients_are_the_stated_ones(key):
    """By hand on a toy estimate, L = network * gamma_dot(t) * noise^2 + gamma(0)."""
    schedule = sdes.learned_vp(units=8)
    t, noise = jax.random.uniform(key, (64,)), jax.random.normal(key, (64,))

    def estimates(params, sde):
        return 5.0 + params * sde.gamma_dot(t) * noise**2 + sde.ends[0] ** 2

    def total(params, sde):
        return losses.schedule_loss(estimates, params, sde, weight=3.0)

    def mean(params, sde):
        return jnp.mean(estimates(params, sde))

    def square(sde):
        return 3.0 * jnp.mean(estimates(0.7, sde) ** 2) / jax.lax.stop_gradient(mean(0.7, sde)) ** 2

    @jax.jit
    def all_gradients(sde):
        with_both = functools.partial(jax.value_and_grad, argnums=(0, 1))
        return with_both(total)(0.7, sde), with_both(mean)(0.7, sde), jax.grad(square)(sde)

    (value, (params, sde)), (mean_value, (by_params, by_sde)), spread = all_gradients(schedule)
    np.testing.assert_allclose(value, mean_value, rtol=1e-6)
    np.testing.assert_allclose(params, by_params, rtol=1e-6)
    np.testing.assert_allclose(sde.ends, by_sde.ends, rtol=1e-5)
    for name, values in sde.shape.items():
        np.testing.assert_allclose(values, spread.shape[name], rtol=1e-4, atol=1e-7)
        assert not np.allclose(values, by_sde.shape[name], rtol=1e-2)


def test_data_without_levels_are_refused():
    points = types.SimpleNamespace(bins=None, level_range=None)
    with pytest.raises(UsageError, match="take 'denoising'"):
        losses.VariationalLoss(
            sde=sdes.learned_vp(), prediction=predictions.Noise(), network=None, codec=points
        )
