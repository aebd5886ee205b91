"""A cascade of two exact models has the joint law of large images and their small versions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, degradations, samplers, sdes
from scoresde.denoiser import BaseDenoiser
from scoresde.predictions import Prediction
from scoresde.registry import UsageError
from scoresde.sdes import SDE, expand

SMALL, LARGE = (1, 2, 1), (2, 4, 1)
MEAN = np.linspace(-1, 1, 8)
_FACTOR = np.random.default_rng(3).normal(size=(8, 8)) / 3
COVARIANCE = _FACTOR @ _FACTOR.T + 0.05 * np.eye(8)
DEGRADATION = degradations.get("super_resolution", factor=2, augmentation={"sde": "vp"})
POOL = np.asarray(
    jax.vmap(lambda x: DEGRADATION.observation.forward(x.reshape(1, *LARGE)).ravel())(np.eye(8))
).T


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Told(BaseDenoiser):
    """E[x_0 | x_t, y_s, s] of x_0 ~ N(MEAN, COVARIANCE), where y_s is its small version at s."""

    sde: SDE

    def __call__(self, x, t, condition=None):
        t, level = jnp.broadcast_to(t, x.shape[:1]), condition["augmentation"]
        alpha, sigma = self.sde.alpha(t), self.sde.sigma(t)

        def one(x, y, alpha, sigma, a, s):
            matrix = jnp.concatenate([alpha * jnp.eye(8), a * POOL])
            noise = jnp.concatenate([jnp.full(8, sigma**2), jnp.full(2, s**2 + 1e-6)])
            gram = matrix @ COVARIANCE @ matrix.T + jnp.diag(noise)
            seen = jnp.concatenate([x.ravel(), y.ravel()])
            gain = jnp.linalg.solve(gram, seen - matrix @ MEAN)
            return (MEAN + COVARIANCE @ matrix.T @ gain).reshape(x.shape)

        levels = self.sde.alpha(level), self.sde.sigma(level)
        x0 = jax.vmap(one)(x, condition["observation"], alpha, sigma, *levels)
        noise = (x - expand(alpha, x) * x0) / expand(sigma, x)
        return Prediction(x0=x0.astype(x.dtype), noise=noise.astype(x.dtype))

    @property
    def condition_names(self):
        return {"observation", "augmentation"}


def stages(steps=60):
    sde = sdes.VP(t_min=1e-3)
    sampler = samplers.get("dpm_solver_pp_2m", denoise="tweedie")
    base = analytic.gaussian((POOL @ MEAN).reshape(SMALL), POOL @ COVARIANCE @ POOL.T)
    options = {"sampler": sampler, "steps": steps, "grid": "log_snr"}
    return (
        samplers.CascadeStage(denoiser=base.denoiser(sde), shape=SMALL, **options),
        samplers.CascadeStage(denoiser=Told(sde), shape=LARGE, **options),
    )


@pytest.mark.parametrize("level, truncated", [(0.15, False), (0.15, True)])
def test_the_joint_law_of_small_and_large_is_right(key, level, truncated):
    num, sde = 3000, sdes.VP()
    drawn = samplers.cascade(
        key, *stages(), DEGRADATION.tell, num, level=level, truncated=truncated
    )
    small, large = (np.asarray(part.x, np.float64).reshape(num, -1) for part in drawn)
    # x is independent of the small sample given what it is told of that.
    alpha, sigma = float(sde.alpha(level)), float(sde.sigma(level))
    of_small = POOL @ COVARIANCE @ POOL.T
    told = alpha**2 * of_small + (sigma**2 + 1e-6) * np.eye(2)
    gain = alpha * COVARIANCE @ POOL.T @ np.linalg.inv(told)
    if truncated:
        mean, covariance, cross = alpha * POOL @ MEAN, told, gain @ told
    else:
        mean, covariance, cross = POOL @ MEAN, of_small, gain @ (alpha * of_small)
    truth = np.block([[covariance, cross.T], [cross, COVARIANCE]])
    joint = np.concatenate([small, large], axis=1)
    spread = np.sqrt(np.diag(truth))
    error = np.sqrt((np.outer(spread, spread) ** 2 + truth**2) / num)
    assert (abs(joint.mean(0) - np.concatenate([mean, MEAN])) < 5 * spread / num**0.5 + 0.01).all()
    assert (abs(np.cov(joint.T) - truth) < 5 * error + 0.01).all()


def test_a_sample_is_the_same_alone_and_among_others(key):
    keys = jax.random.split(key, 3)
    options = {"level": 0.15, "truncated": True}
    together = samplers.cascade(keys, *stages(10), DEGRADATION.tell, **options)
    alone = samplers.cascade(keys[1:2], *stages(10), DEGRADATION.tell, **options)
    for one, all_of_them in zip(alone, together):
        np.testing.assert_allclose(one.x[0], all_of_them.x[1], atol=1e-5)
        assert abs(all_of_them.x[0] - all_of_them.x[1]).max() > 0.1


def test_what_cannot_be_cut_short_is_refused():
    base, _ = stages()
    with pytest.raises(UsageError, match="at a level within"):
        base.until(1.0)
