"""What is observed exactly is in its place: on the way with its noise, at the end as it is."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covering

from scoresde import analytic, guidance, observations, predictions, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.registry import UsageError

GOLDEN = pathlib.Path(__file__).parent.parent / "data" / "guidance"
RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.normal(size=(3, 4, 4, 3)), jnp.float32)
MASK = {"mask": RNG.uniform(size=(3, 4, 4)) > 0.5}
OBSERVED = {
    "inpainting": (observations.Inpainting(), MASK),
    "super_resolution": (observations.SuperResolution(), {}),
    "colorization": (observations.Colorization(), {}),
    "matrix": (observations.Matrix(matrix=RNG.normal(size=(4, 48))), {}),
}


def shrink(params, x, noise_condition, condition):
    return 0.5 * x


@pytest.mark.parametrize("name", OBSERVED)
def test_samples_keep_what_is_known_and_their_other_parts_are_denoised(name, key):
    observation, condition = OBSERVED[name]
    sde = sdes.VP()
    denoiser = guidance.Projected(Denoiser(sde, predictions.Noise(), shrink, None), observation)
    y = observation.forward(IMAGES, condition)
    drawn = samplers.sample(
        key, samplers.get("ddim"), denoiser, IMAGES.shape, steps=5,
        condition={"observation": y, **condition},
        constraint=guidance.Replacement(sde, observation),
    )  # fmt: skip
    seen, rounding = observation.forward(drawn.x, condition), 5e-6 * np.abs(y).max()
    np.testing.assert_allclose(seen, y, rtol=0, atol=rounding)
    assert jnp.abs(drawn.x - IMAGES).max() > 0.1


def test_on_the_way_it_has_the_noise_of_its_time_and_leaves_the_rest(key):
    observation, condition = OBSERVED["inpainting"]
    constraint, sde = guidance.Replacement(sdes.VP(), observation), sdes.VP()
    keys = jax.random.split(key, 3)
    y = {"observation": IMAGES, **condition}
    imposed = constraint(keys, IMAGES + 1, jnp.asarray(0.3), y)
    seen = np.broadcast_to(MASK["mask"][..., None], IMAGES.shape)
    np.testing.assert_allclose(imposed[~seen], (IMAGES + 1)[~seen], atol=1e-6)
    noise = (imposed - sde.alpha(0.3) * IMAGES) / sde.sigma(0.3)
    expected = jax.vmap(lambda k: jax.random.normal(k, IMAGES.shape[1:]))(keys)
    np.testing.assert_allclose(noise[seen], expected[seen], atol=1e-5)


@pytest.mark.parametrize("case", covering(["case1", "case4"], ["case4"]))
def test_replacement_has_the_bias_that_it_has_in_the_limit(case, key):
    golden = np.load(GOLDEN / "expected_replacement_gaussian.npz")
    prior = golden[f"{case}/prior_mean"], golden[f"{case}/prior_covariance"]
    sde, num = sdes.VP(), 4000
    observation = observations.Matrix(matrix=np.eye(2)[:1])
    drawn = samplers.sample(
        key, samplers.get("ancestral_sampling"), analytic.gaussian(*prior).denoiser(sde), (num, 2),
        steps=600, condition={"observation": np.full((num, 1), golden[f"{case}/y"])},
        constraint=guidance.Replacement(sde, observation),
    ).x[:, 1]  # fmt: skip
    mean, variance = golden[f"{case}/replacement_sde_mean_variance"]
    assert abs(drawn.mean() - mean) < 4 * (variance / num) ** 0.5 + 3e-3
    assert abs(drawn.var() - variance) < 4 * variance * (2 / num) ** 0.5 + 3e-3


def test_what_is_not_linear_is_refused_in_a_line():
    with pytest.raises(UsageError, match="nothing is projected"):
        guidance.project(observations.PhaseRetrieval(), IMAGES, IMAGES)
