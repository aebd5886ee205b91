"""Options of the wrong type are named, at every component and however it is made."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import likelihood, losses, metrics, plain, samplers, sdes, times, training
from scoresde.registry import UsageError


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: samplers.get("ddim", eta="1"), "sampler 'ddim': eta must be a number, not '1'"),
        (lambda: samplers.get("ddim", eta=None), "eta must be a number, not None"),
        (lambda: samplers.get("ddim", eta=True), "eta must be a number, not True"),
        (lambda: samplers.get("pc", corrector_steps=1.5), "corrector_steps must be an integer"),
        (lambda: samplers.get("pndm", denoise=3), "final denoising must be a name"),
        (lambda: samplers.DDIM(eta="1"), "eta of DDIM must be a number, not '1'"),
        (lambda: samplers.ProbabilityFlow(max_steps="9"), "max_steps of ProbabilityFlow"),
        (lambda: samplers.Langevin(snr="0.1"), "snr of Langevin must be a number"),
        (
            lambda: samplers.PredictorCorrector(order=3),
            "order of PredictorCorrector",
        ),
        (lambda: sdes.VP(beta_min="0.1"), "beta_min of VP must be a number"),
        (lambda: sdes.DiscreteVP(num_scales=10.5), "num_scales of DiscreteVP must be an integer"),
        (lambda: sdes.RectifiedFlow(t_min=None), "t_min of RectifiedFlow must be a number"),
        (lambda: likelihood.ExactLikelihood(rtol="1e-3"), "rtol of ExactLikelihood"),
        (lambda: likelihood.BOUNDS["vdm"](samples="a"), "samples of VDMBound"),
        (lambda: likelihood.BOUNDS["ddpm"](t_min="a"), "t_min of DDPMBound"),
        (lambda: losses.EDMWeighting(sigma_data="a"), "sigma_data of EDMWeighting"),
        (lambda: metrics.SlicedWasserstein(projections="a"), "projections of SlicedWasserstein"),
        (lambda: times.Discrete(sde=sdes.VP(), num_scales="a"), "num_scales of Discrete"),
        (lambda: training.EMA(rate="a"), "rate of EMA must be a number"),
        (lambda: training.make_optimizer(learning_rate="a"), "learning rate must be a number"),
        (lambda: training.make_optimizer(beta1="a"), "optimizer 'adam': beta1 must be a number"),
    ],
)
def test_an_option_of_another_type_is_named_in_a_line(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_numbers_of_numpy_and_of_jax_are_numbers():
    assert samplers.DDIM(eta=np.float32(0.5)).eta == 0.5
    assert samplers.DDIM(eta=1).eta == 1
    assert sdes.VP(beta_max=np.float64(10)).beta_max == 10
    assert sdes.DiscreteVP(num_scales=np.int64(100)).num_scales == 100
    for value, hint in (
        (jnp.float32(1), float),
        (jnp.asarray(1.0, jnp.bfloat16), float),
        (np.array(3), int),
        (None, float | None),
        (np.True_, bool),
        ([1], list),
        ("anything", "str | Mine"),
    ):
        plain.check("it", value, hint)
    jax.jit(lambda value: plain.check("it", value, float))(1.0)


@pytest.mark.parametrize(
    "value, hint", [(1.0, int), (np.ones(2), float), (jnp.float32(1), int), (1, bool), (b"a", str)]
)
def test_what_is_no_such_value(value, hint):
    with pytest.raises(UsageError, match="it must be"):
        plain.check("it", value, hint)


def test_a_default_is_never_refused():
    @dataclasses.dataclass(frozen=True)
    class Sloppy:
        size: int = None

    plain.check_fields(Sloppy())
    with pytest.raises(UsageError, match="size of Sloppy must be an integer"):
        plain.check_fields(Sloppy("a"))
