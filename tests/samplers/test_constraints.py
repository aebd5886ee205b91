"""A constraint has its say after every move of a sampler along a grid, at the right time."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import fold_in, sample_keys, split
from scoresde.predictions import Noise
from scoresde.registry import UsageError

GRID = (1.0, 0.5, 0.25)
KNOWN = jnp.array([[0.3], [-0.6]])


def squash(params, x, noise_condition, condition):
    return jnp.tanh(x)


DENOISER = Denoiser(sdes.VP(), Noise(), squash, None)


@dataclasses.dataclass(eq=False)
class Recorder:
    """Changes nothing, and remembers all that it is called with."""

    calls: list = dataclasses.field(default_factory=list)

    def __call__(self, keys, x, t, condition):
        self.calls.append((jax.random.key_data(keys), x, float(t), condition))
        return x


@pytest.fixture
def record():
    """(sampler, **options) -> (the recorded calls, Samples), operation by operation."""

    def record(sampler, **options):
        recorder = Recorder()
        with jax.disable_jit():
            samples = samplers.sample(
                jax.random.key(0), sampler, DENOISER, (2, 3), constraint=recorder, **options
            )
        return recorder.calls, samples

    return record


@pytest.mark.parametrize(
    "name, options, times",
    [
        # Once more at the last time, where score_sde's code corrects again.
        ("pc", {}, [1.0, 0.5, 0.5, 0.25, 0.25]),
        ("pc", {"order": "predictor_first"}, [0.5, 0.5, 0.25, 0.25]),
        ("pc", {"corrector_steps": 3}, [1.0, 0.5, 0.5, 0.25, 0.25]),
        ("pc", {"predictor": samplers.Heun()}, [1.0, 0.5, 0.5, 0.25, 0.25]),
        ("pc", {"corrector": "none"}, [0.5, 0.25]),
        ("annealed_langevin", {"corrector_steps": 2}, [1.0, 0.5, 0.25]),
        ("ddim", {}, [0.5, 0.25]),
        ("heun", {}, [0.5, 0.25]),
        ("edm", {"s_churn": 5.0}, [0.5, 0.25]),
        ("dpm_solver_3", {}, [0.5, 0.25]),
        ("unipc", {"order": 3}, [0.5, 0.25]),
    ],
)
def test_it_is_called_after_every_move_with_the_time_of_x(name, options, times, record):
    condition = {"y": np.arange(2.0)}
    calls, _ = record(samplers.get(name, **options), grid=GRID, condition=condition)
    assert [t for _, _, t, _ in calls] == times
    assert all((given["y"] == condition["y"]).all() for *_, given in calls)


def test_the_final_denoising_is_no_move(record):
    calls, samples = record(samplers.get("heun", denoise="none"), grid=GRID)
    denoised, _ = record(samplers.get("heun"), grid=GRID)
    assert len(calls) == len(denoised) == 2
    np.testing.assert_array_equal(samples.x, calls[-1][1])
    np.testing.assert_array_equal(samples.x, denoised[-1][1])


def test_it_sees_x_between_the_halves_of_a_predictor_corrector_step(record):
    sampler = samplers.get("pc", predictor="ancestral_sampling", snr=0.2)
    calls, _ = record(sampler, grid=GRID)
    keys = sample_keys(jax.random.key(0), 2)
    first, second = split(fold_in(keys, 0))
    t, s = map(jnp.float32, GRID[:2])
    a, _ = DENOISER.sde.transition(s, t)
    x = DENOISER.sde.prior_std * _prior(keys)
    corrected = sampler.corrector.correct(first, x, t, a, DENOISER)
    predicted, _ = sampler.predictor.step(second, corrected, t, s, DENOISER, ())
    np.testing.assert_allclose(calls[0][1], corrected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(calls[1][1], predicted, rtol=1e-5, atol=1e-6)


def _prior(keys):
    with jax.disable_jit():
        drawn = samplers.sample(
            keys, samplers.get("ddim"), DENOISER, (2, 3), grid=GRID, trajectory=1
        )
    return drawn.trajectory[0]


def test_its_keys_are_one_per_sample_and_of_a_stream_of_their_own(record):
    calls, _ = record(samplers.get("pc"), grid=GRID)
    samples_keys = sample_keys(jax.random.key(0), 2)
    of_moves = [fold_in(samples_keys, number) for number in range(3)]
    of_moves += [keys for number in of_moves for keys in split(number)]
    seen = [keys for keys, *_ in calls] + [jax.random.key_data(keys) for keys in of_moves]
    assert all(keys.shape[0] == 2 for keys in seen)
    for one, other in itertools.combinations(np.concatenate(seen), 2):
        assert (one != other).any()


def known_pixel(keys, x, t, condition):
    """The first pixel is known, at every time."""
    return x.at[:, :1].set(condition["known"])


@pytest.mark.parametrize("name", ["pc", "ddim", "unipc", "dpm_solver_pp_2m", "pndm"])
def test_what_it_imposes_is_what_the_denoiser_sees_next(name, key):
    seen = []

    def network(params, x, noise_condition, condition):
        seen.append(x[:, :1])
        return jnp.tanh(x)

    sampler = samplers.get(name, denoise="none")
    denoiser = Denoiser(sdes.VP(), Noise(), network, None)
    with jax.disable_jit():
        samples = samplers.sample(
            key, sampler, denoiser, (2, 3), grid=(1.0, 0.5, 0.25, 0.1), trajectory=1,
            condition={"known": KNOWN}, constraint=known_pixel,
        )  # fmt: skip
    np.testing.assert_allclose(samples.x[:, :1], KNOWN, atol=1e-6)
    np.testing.assert_allclose(samples.trajectory[1:, :, :1], jnp.stack([KNOWN] * 3), atol=1e-6)
    later = seen[1:] if name != "pndm" else seen[4::4]  # within a step it sees its own states
    np.testing.assert_allclose(later, [KNOWN] * len(later), atol=1e-6)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shifted:
    """x + shift: an array, which all samples share."""

    shift: jax.Array

    def __call__(self, keys, x, t, condition):
        return x + self.shift


def test_one_that_holds_arrays_is_data_of_one_program(key):
    traced = []

    def network(params, x, noise_condition, condition):
        traced.append(1)
        return 0.0 * x

    denoiser = Denoiser(sdes.VE(), Noise(), network, None)
    sampler = samplers.get("ddim", denoise="none")
    x = [
        samplers.sample(key, sampler, denoiser, (2, 3), steps=3, constraint=Shifted(shift)).x
        for shift in (jnp.zeros(3), jnp.arange(3.0))
    ]
    np.testing.assert_allclose(x[1] - x[0], [[0, 3, 6]] * 2, atol=1e-5)
    assert len(traced) == 1


class Unhashable(Recorder):
    __hash__ = None


@pytest.mark.parametrize(
    "constraint, message",
    [
        (lambda keys, x, t, condition: x[:1], r"shape \(1, 3\) for x of shape \(2, 3\)"),
        ("replacement", "is a function .* not 'replacement'"),
        (Unhashable(), "Unhashable, holds what has no hash"),
    ],
)
def test_what_is_no_constraint_is_refused(constraint, message, key):
    with pytest.raises(UsageError, match=message):
        samplers.sample(key, samplers.get("ddim"), DENOISER, (2, 3), steps=2, constraint=constraint)
