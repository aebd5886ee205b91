"""With the exact denoiser, every stochastic sampler draws from the data distribution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import sample_keys
from scoresde.metrics import EnergyDistance, SlicedWasserstein
from scoresde.predictions import Noise
from scoresde.samplers.observe import Observer

SAMPLES = 2048
# One that scales the data, one that does not, one that ends without them; and the others.
PROCESSES = ("vp", "ve", "rectified_flow")
OTHERS = ("subvp", "edm", "cosine")

SAMPLERS = {
    "euler_maruyama": {},
    "reverse_diffusion": {},
    "ancestral_sampling": {},
    "ancestral_sampling, forward variance": {"variance": "forward"},
    "ddim, half of the noise": {"eta": 0.5},
    "pc": {},
    "pc, ald, predictor first": {
        "predictor": "euler_maruyama",
        "corrector": "ald",
        "order": "predictor_first",
    },
    # With one step a level it lags behind the levels, which no number of them mends.
    "annealed_langevin": {"corrector_steps": 10},
    "edm, churn": {"s_churn": 40.0},
    "sde_dpm_solver_pp_2m": {},
    "gotta_go_fast": {},
    "probability_flow": {"rtol": 1e-4, "atol": 1e-4},
}


# As NCSN's, in equal steps of log sigma: the lag is the same at all of them.
GRIDS = {"annealed_langevin": "log_snr"}
STEPS = {"annealed_langevin": 1000}


def get(label, options):
    return samplers.get(label.split(",")[0], **options)


@pytest.fixture(scope="module")
def exact(mixture):
    """Exact samples, the noise floor of their distance to another such set, and log p."""
    x, y = (mixture.sample(jax.random.key(seed), SAMPLES) for seed in (10, 11))
    return x, SlicedWasserstein()(jax.random.key(0), x, y), mixture.log_prob


def check(x, exact):
    truth, floor, log_prob = exact
    error = np.sqrt(np.diag(np.cov(truth.T)) / SAMPLES)
    np.testing.assert_allclose(x.mean(axis=0), truth.mean(axis=0), atol=7 * error.max())
    np.testing.assert_allclose(np.cov(x.T), np.cov(truth.T), atol=0.08)
    # The floor varies by half: the greatest of eight such was 2.2 times their mean.
    assert SlicedWasserstein()(jax.random.key(0), x, truth) < 2.5 * floor
    assert EnergyDistance()(jax.random.key(0), x, truth) < 2e-3
    # The mean log density feels the width of every mode; its standard error here is 0.03.
    assert abs(log_prob(x).mean() - log_prob(truth).mean()) < 0.12


@pytest.fixture(scope="module", autouse=True)
def optimized():
    """These programs run for longer than they take to compile."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


def draw(sampler, denoiser):
    return samplers.sample(jax.random.key(2), sampler, denoiser, (SAMPLES, 2), steps=1000).x


@functools.partial(jax.jit, static_argnames="sampler")
def _draw_for_each(sampler, keys, z, times, processes, data):
    def one(times, sde):
        denoiser = data.denoiser(sde)
        x, steps = sde.prior_std * z, len(times) - 1
        return sampler.run(keys, x, times, steps, denoiser, None, None, Observer()).x

    return jax.vmap(one)(times, processes)


# Whose steps other tests compare with closed forms, and which take half of the time of all.
DEAREST = ("annealed_langevin", "pc, ald, predictor first", "gotta_go_fast", "probability_flow")
DEAREST += ("ancestral_sampling, forward variance", "ddim, half of the noise")


@pytest.mark.slow
@pytest.mark.parametrize(
    "names", [PROCESSES, pytest.param(OTHERS, marks=pytest.mark.thorough)], ids=["", "others"]
)
@pytest.mark.parametrize(
    "label",
    [pytest.param(label, marks=[pytest.mark.thorough] * (label in DEAREST)) for label in SAMPLERS],
)
def test_reaches_a_mixture(label, names, mixture, exact, any_process):
    """For several processes at once, with the same noise, which is what takes the time."""
    sampler = get(label, SAMPLERS[label])
    processes = [any_process(name) for name in names]
    steps = STEPS.get(label, 400) if isinstance(sampler, samplers.GridSampler) else None
    times = [sampler.times(sde, steps, GRIDS.get(label)) for sde in processes]
    keys = sample_keys(jax.random.key(2), SAMPLES)
    z = jax.random.normal(jax.random.key(3), (SAMPLES, 2))
    times, processes = (jax.tree.map(lambda *each: jnp.stack(each), *v) for v in (times, processes))
    drawn = _draw_for_each(sampler, keys, z, times, processes, mixture)
    for name, x in zip(names, drawn, strict=True):
        try:
            check(x, exact)
        except AssertionError as error:
            raise AssertionError(f"{label} under {name}") from error


def test_a_wrong_score_is_noticed(mixture, exact):
    """The check above can fail: with the score 12 % too large it does."""
    truth = mixture.denoiser(sdes.VP())

    def network(params, x, noise_condition, condition):
        return 1.12 * truth(x, noise_condition / 999).noise

    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    with pytest.raises(AssertionError):
        check(draw(samplers.get("reverse_diffusion"), denoiser), exact)
