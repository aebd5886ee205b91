"""SDEdit against its closed form, at its edges, with its mask, and a batch against its samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import analytic, samplers, sdes
from scoresde.denoiser import Denoiser
from scoresde.keys import fold_in, normal
from scoresde.predictions import Index, Noise
from scoresde.registry import UsageError

MEAN, COVARIANCE = np.array([0.5, -0.3]), np.array([[1.0, 0.6], [0.6, 0.8]])
GUIDE = np.array([2.0, -2.0])
DATA = analytic.gaussian(MEAN, COVARIANCE)
PROCESSES = {"vp": sdes.VP(t_min=1e-3), "ve": sdes.VE(sigma_max=20.0)}


def after(sde, strength, repeats):
    """Mean and covariance of what repeats make of the guide, for small steps."""
    t = samplers.time_of_strength(sde, strength)
    alpha, sigma = float(sde.alpha(t)), float(sde.sigma(t))
    gain = alpha * COVARIANCE @ np.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * np.eye(2))
    posterior = COVARIANCE - gain @ COVARIANCE * alpha
    mean, covariance = GUIDE, np.zeros((2, 2))
    for _ in range(repeats):
        noised = alpha**2 * covariance + sigma**2 * np.eye(2)
        mean = MEAN + alpha * gain @ (mean - MEAN)
        covariance = posterior + gain @ noised @ gain.T
    return mean, covariance


CASES = [("vp", 0.2, 400, 1), ("vp", 0.5, 200, 2), ("ve", 0.5, 200, 1)]


@pytest.mark.parametrize("name, strength, steps, repeats", CASES)
def test_of_gaussian_data_mean_and_covariance_are_known(name, strength, steps, repeats, key):
    sde, num = PROCESSES[name], 4000
    drawn = samplers.sdedit(
        key, samplers.get("ancestral_sampling"), DATA.denoiser(sde),
        jnp.broadcast_to(GUIDE, (num, 2)), strength=strength, repeats=repeats, steps=steps,
    )  # fmt: skip
    mean, covariance = after(sde, strength, repeats)
    error = np.sqrt(np.diag(covariance) / num)
    assert (np.abs(drawn.x.mean(axis=0) - mean) < 4 * error + 5e-3).all()
    np.testing.assert_allclose(np.cov(drawn.x.T), covariance, atol=0.02 + 4 * 1.4 / num**0.5)
    assert abs(drawn.nfe[0] - repeats * (strength * steps + 1)) <= repeats


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"strength": 0}, {"repeats": 0}])
def test_no_strength_and_no_repeats_are_the_guide_itself(options, key):
    guide = jnp.arange(6.0).reshape(3, 2)
    drawn = samplers.sdedit(
        key, samplers.get("ddim"), DATA.denoiser(sdes.VP()), guide, steps=5, **options
    )
    np.testing.assert_array_equal(drawn.x, guide)
    assert (drawn.nfe == 0).all()


def test_at_full_strength_a_process_without_a_rest_of_data_has_forgotten_the_guide(key):
    denoiser = DATA.denoiser(sdes.RectifiedFlow())
    first, second = (
        samplers.sdedit(
            key, samplers.get("ddim"), denoiser, jnp.full((3, 2), v), strength=1.0, steps=9
        )
        for v in (-5.0, 7.0)
    )
    np.testing.assert_array_equal(first.x, second.x)
    assert (first.nfe == 10).all()  # the whole grid


@pytest.mark.parametrize(
    "sde, strength, time",
    [
        (sdes.RectifiedFlow(t_min=0.1), 0.5, 0.55),
        (sdes.VP(t_min=1e-3), 1.0, 1.0),
        (sdes.VP(t_min=1e-3), 0.0, 1e-3),
        (sdes.EDM(), 0.5, ((80 ** (1 / 7) + 0.002 ** (1 / 7)) / 2) ** 7),
    ],
)
def test_strength_is_a_part_of_the_way_that_the_process_goes(sde, strength, time):
    assert samplers.time_of_strength(sde, strength) == pytest.approx(time, rel=1e-4)


IMAGES = jax.random.normal(jax.random.key(5), (3, 4, 4, 1))
KEEP = jax.random.uniform(jax.random.key(6), (3, 4, 4)) > 0.5


@pytest.fixture(scope="module")
def gaussian_images():
    return analytic.gaussian(np.zeros((4, 4, 1)), 0.5 * np.eye(16)).denoiser(sdes.VP())


@pytest.mark.parametrize("name", ["pc", "repaint"])
def test_what_is_kept_is_the_guide_and_the_rest_is_not(name, gaussian_images, key):
    drawn = samplers.sdedit(
        key, samplers.get(name), gaussian_images, IMAGES, keep=KEEP, steps=6, strength=0.7
    )
    kept = np.broadcast_to(KEEP[..., None], IMAGES.shape)
    np.testing.assert_array_equal(drawn.x[kept], IMAGES[kept])
    assert (jnp.abs(drawn.x - IMAGES)[~kept] > 1e-4).all() and jnp.isfinite(drawn.x).all()


def test_a_batch_is_its_samples_one_by_one_also_with_masks_of_their_own(gaussian_images, key):
    keys = jax.random.split(key, 3)

    def edited(rows):
        return samplers.sdedit(
            keys[rows], samplers.get("euler_maruyama"), gaussian_images, IMAGES[rows],
            keep=KEEP[rows], steps=6, strength=0.7, repeats=2,
        ).x  # fmt: skip

    whole = edited(slice(0, 3))
    for i in range(3):
        np.testing.assert_allclose(edited(slice(i, i + 1))[0], whole[i], atol=1e-5)


def test_kept_pixels_have_new_noise_of_the_time_that_they_are_at(key):
    sde, keys = sdes.VP(), jax.random.split(key, 3)
    condition = {"guide": IMAGES, "keep": KEEP}
    t = jnp.asarray(0.4)
    x = samplers.KeptPixels(sde)(keys, IMAGES + 9, t, condition)
    noised = sde.perturb(IMAGES, normal(keys, IMAGES.shape), t)
    kept = np.broadcast_to(KEEP[..., None], IMAGES.shape)
    np.testing.assert_array_equal(x, np.where(kept, noised, IMAGES + 9))
    other = samplers.KeptPixels(sde)(fold_in(keys, 1), IMAGES, t, condition)
    assert jnp.abs(x - other)[kept].mean() > 0.1


def test_a_discretely_trained_network_starts_at_one_of_its_levels(key, monkeypatch):
    grids = []

    def sample(key, sampler, denoiser, *, x_init, grid, **options):
        grids.append(grid)
        return samplers.Samples(x_init, jnp.zeros(len(x_init), jnp.int32))

    monkeypatch.setattr("scoresde.samplers.editing.sample", sample)
    index, ddim, guide = Index(num_scales=25), samplers.get("ddim"), jnp.zeros((2, 2))
    denoiser = Denoiser(sdes.DiscreteVP(num_scales=25), Noise(time_input=index), jnp.add, None)
    samplers.sdedit(key, ddim, denoiser, guide, strength=0.52, steps=24)
    levels = index(denoiser.sde, grids[0])
    np.testing.assert_allclose(levels, np.arange(12, -1, -1), atol=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"strength": 1.5}, "strength must be 0 .. 1, got 1.5"),
        ({"strength": "much"}, "strength must be a number, not 'much'"),
        ({"repeats": -1}, "repeats must not be negative"),
        ({"repeats": 1.5}, "repeats must be an integer"),
        ({"keep": np.ones((3, 2, 2))}, r"\(3, 2, 2\), the samples are of"),
        ({"sampler": samplers.get("probability_flow"), "keep": KEEP}, "no place for a constraint"),
        ({"sampler": "ddim"}, "needs a sampler"),
    ],
)
def test_what_cannot_be_is_a_line(options, message, gaussian_images, key):
    arguments = {"sampler": samplers.get("ddim"), "steps": 4, **options}
    with pytest.raises(UsageError, match=message) as error:
        samplers.sdedit(key, denoiser=gaussian_images, guide=IMAGES, **arguments)
    assert "\n" not in str(error.value)
