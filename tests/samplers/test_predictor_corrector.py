"""Predictor-corrector samplers: the order of their moves, and where their options go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import fold_in, sample_keys, split
from scoresde.predictions import Noise
from scoresde.registry import UsageError

T, S = jnp.float32(0.5), jnp.float32(0.4)


def squash(params, x, noise_condition, condition):
    return jnp.tanh(x)


@pytest.mark.parametrize("order", ["corrector_first", "predictor_first"])
def test_a_step_is_a_correction_and_a_prediction_with_keys_of_their_own(order, key):
    denoiser, keys = Denoiser(sdes.VP(), Noise(), squash, None), sample_keys(key, 4)
    x = jax.random.normal(key, (4, 3))
    predictor, corrector = samplers.ReverseDiffusion(), samplers.Langevin()
    first, second = split(fold_in(keys, 0))
    a, _ = denoiser.sde.transition(S, T)
    if order == "corrector_first":
        expected = corrector.correct(first, x, T, a, denoiser)
        expected, _ = predictor.step(second, expected, T, S, denoiser, ())
        a, expected = denoiser.sde.alpha(S), [expected]  # and once more at the last time
        expected += [corrector.correct(fold_in(keys, 1), expected[0], S, a, denoiser)]
    else:
        expected, _ = predictor.step(first, x, T, S, denoiser, ())
        expected = [corrector.correct(second, expected, S, a, denoiser)]
    sampler = samplers.PredictorCorrector(
        predictor=predictor, corrector=corrector, order=order, denoise="none"
    )
    with jax.disable_jit():
        samples = samplers.sample(keys, sampler, denoiser, x_init=x, grid=[T, S], trajectory=1)
    np.testing.assert_allclose(samples.trajectory[-1], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(samples.x, expected[-1], rtol=1e-5, atol=1e-5)


def test_an_option_goes_to_the_part_that_takes_it():
    ddim, langevin = samplers.DDIM(eta=1.0), samplers.Langevin(snr=0.1, steps=2, min_dimensions=0)
    expected = samplers.PredictorCorrector(predictor=ddim, corrector=langevin)
    flat = {"eta": 1.0, "snr": 0.1, "corrector_steps": 2, "min_dimensions": 0}
    assert samplers.get("pc", predictor="ddim", **flat) == expected
    sections = {
        "predictor": {"name": "ddim", "eta": 1.0},
        "corrector": {"name": "langevin", "snr": 0.1, "steps": 2, "min_dimensions": 0},
    }
    assert samplers.get("pc", **sections) == expected
    assert samplers.get("pc", predictor=ddim, corrector=langevin) == expected
    mixed = {"predictor": {"name": "ddim"}, "corrector": langevin, "eta": 1.0}
    assert samplers.get("pc", **mixed) == expected
    own = "scoresde.samplers.predictors:DDIM"
    assert samplers.get("pc", predictor=own, corrector=langevin, eta=1.0) == expected


def test_the_flat_options_of_published_configs():
    options = {"snr": 0.17, "corrector_steps": 1, "norm": "batch", "probability_flow": False}
    sampler = samplers.get("pc", predictor="ancestral_sampling", variance="forward", **options)
    assert sampler.predictor == samplers.AncestralSampling(variance="forward")
    assert sampler.corrector == samplers.Langevin(snr=0.17, norm="batch")
    alone = samplers.get("pc", corrector="none", snr=0.17, corrector_steps=1, norm="batch")
    assert alone.corrector is None  # whose options are inert


@pytest.mark.parametrize(
    "options, message",
    [
        ({"snrr": 0.1}, "no option 'snrr' with this.* Did you mean 'snr'.*of the corrector: snr,"),
        ({"eta": 1.0}, "no option 'eta'.*of the predictor: probability_flow;"),
        ({"steps": 3}, "no option 'steps'.*corrector_steps"),
        ({"predictor": "heun2"}, "Unknown predictor"),
        ({"corrector": {"name": "hmc"}}, "Unknown corrector"),
        ({"corrector": {"snr": 0.1}}, "has no name"),
        ({"predictor": samplers.Langevin()}, "The predictor must be a name.*or a GridSampler"),
        ({"predictor": samplers.DDIM}, "given as a class"),
        ({"predictor": samplers.DDIM(), "eta": 0.5}, "no option 'eta'"),
        ({"predictor": {"name": "ddim", "eta": 0.1}, "eta": 0.5}, "'eta' twice"),
        ({"predictor": "euler_maruyama", "variance": "forward"}, "no option 'variance'"),
        (
            {"predictor": "ancestral_sampling", "probability_flow": True},
            "no probability-flow form",
        ),
        ({"corrector": "none", "min_dimensions": 0}, "no option 'min_dimensions'"),
        ({"snr": -1.0}, "snr > 0"),
        ({"min_dimensions": -1}, "min_dimensions must not be negative"),
        ({"order": "both"}, "Unknown order"),
        ({"predictor": "none", "corrector": "none"}, "needs a predictor or"),
        ({"predictor": samplers.Heun(), "denoise": "last_mean"}, "'last_mean' is the mean"),
    ],
)  # fmt: skip
def test_an_option_of_neither_part_or_an_impossible_one_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        samplers.get("pc", **options)
