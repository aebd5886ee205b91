"""The final denoising: by name or as an object, what it does and what it costs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.predictions import Noise
from scoresde.registry import UsageError


def squash(params, x, noise_condition, condition):
    return jnp.tanh(x)


SDE = sdes.VE(sigma_min=0.3, sigma_max=3.0)
DENOISER = Denoiser(SDE, Noise(), squash, None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Halved(samplers.Final):
    """One of one's own: half of the state, by three evaluations that it does not take."""

    def evaluations(self, sampler):
        return 3

    def __call__(self, x, t, denoiser, sampler):
        return 0.5 * x


@pytest.fixture(scope="module")
def draw():
    """denoise -> Samples of VE, which at t_min has sigma_min of noise left."""

    def draw(denoise):
        sampler = samplers.get("reverse_diffusion", denoise=denoise)
        with jax.disable_jit():
            return samplers.sample(jax.random.key(0), sampler, DENOISER, (8, 4), steps=4)

    return draw


def test_noise_is_left_in_only_on_request(draw):
    """Tweedie and the last mean remove it: for VE they are the same rule."""
    x = {name: draw(name).x for name in samplers.FINALS}
    expected = DENOISER(x["none"], SDE.t_min).x0
    np.testing.assert_allclose(x["tweedie"], expected, atol=1e-5)
    np.testing.assert_allclose(x["tweedie"], x["last_mean"], atol=1e-3)
    removed = x["none"] - x["tweedie"]
    np.testing.assert_allclose(removed, SDE.sigma(SDE.t_min) * jnp.tanh(x["none"]), atol=1e-5)


def test_an_object_is_used_as_it_is_and_its_cost_is_counted(draw):
    plain, halved = draw(samplers.Nothing()), draw(Halved())
    np.testing.assert_array_equal(halved.x, 0.5 * plain.x)
    assert (plain.nfe == 4).all() and (halved.nfe == 7).all()
    assert samplers.get("ddim", denoise={"name": "none"}) == samplers.DDIM(
        denoise=samplers.Nothing()
    )
    assert samplers.get("heun", denoise=f"{__name__}:Halved").final_evaluations == 3


@pytest.mark.parametrize(
    "name, denoise, message",
    [
        ("euler_maruyama", "yes", "Unknown final denoising 'yes'"),
        ("euler_maruyama", samplers.Tweedie, "given as a class"),
        ("euler_maruyama", None, "must be a name"),
        ("heun", "last_mean", "'last_mean' is the mean of a predictor's step.*a Heun has not"),
        ("probability_flow", "last_mean", "a ProbabilityFlow has not"),
        ("annealed_langevin", "last_mean", "a PredictorCorrector has not"),
    ],
)
def test_what_is_no_final_denoising_of_a_sampler_is_refused(name, denoise, message):
    with pytest.raises(UsageError, match=message):
        samplers.get(name, denoise=denoise)
