"""What is told of an image: the observation, random masks, and noise-conditioning augmentation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from scoresde import degradations, sdes
from scoresde.degradations import MASKS, Augmentation
from scoresde.registry import UsageError


@pytest.fixture(scope="module")
def x0():
    return jnp.asarray(np.random.default_rng(0).normal(size=(4, 8, 8, 3)), jnp.float32)


@functools.cache
def told(name, **options):
    return jax.jit(degradations.get(name, **options).__call__)


@pytest.mark.parametrize(
    "name, options",
    [
        ("super_resolution", {"noise": 0.1}),
        ("inpainting", {"masks": "mixed", "fill": "noise"}),
    ],
)
def test_a_sample_is_told_the_same_alone_and_among_others(key, x0, name, options):
    degradation = degradations.get(name, **options, augmentation={"most": 0.5})
    tell, keys = jax.jit(degradation.__call__), jax.random.split(key, 4)
    together = tell(keys, x0)
    assert set(together) == set(degradation.names)
    for i in (1, 3):
        alone = tell(keys[i : i + 1], x0[i : i + 1])
        for part in together:
            np.testing.assert_allclose(alone[part][0], together[part][i], atol=1e-6)
            assert abs(together[part][i] - together[part][i - 1]).max() > 1e-4
    of_one_key = tell(key, x0)
    np.testing.assert_array_equal(
        of_one_key["observation"],
        tell(jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(4)), x0)["observation"],
    )


def test_without_noise_it_is_the_observation_itself(key, x0):
    tell = told("super_resolution", factor=4)
    np.testing.assert_allclose(
        tell(key, x0)["observation"], x0.reshape(4, 2, 4, 2, 4, 3).mean(axis=(2, 4)), atol=1e-6
    )
    tell = told("colorization", told_as="gray")
    np.testing.assert_allclose(
        tell(key, x0)["gray"][..., 0], x0.sum(axis=-1) / np.sqrt(3), atol=1e-6
    )


def test_pixels_that_are_not_known_are_hidden(key, x0):
    tell = told("inpainting", masks="strokes")
    made = tell(key, x0 + 10)
    known = np.broadcast_to(np.asarray(made["mask"]) == 1, x0.shape)
    np.testing.assert_array_equal(made["observation"], np.where(known, x0 + 10, 0))
    assert set(np.unique(made["mask"])) == {0.0, 1.0}
    noisy = told("inpainting", masks="strokes", fill="noise")
    filled = np.asarray(noisy(key, x0 + 10)["observation"])
    assert abs(filled[~known].mean()) < 0.5 and abs(filled[~known].std() - 1) < 0.3
    np.testing.assert_array_equal(filled[known], np.asarray(x0 + 10)[known])


def test_boxes_are_of_the_sizes_and_places_that_are_asked_for(key):
    masks = jax.jit(jax.vmap(lambda key: MASKS["boxes"](least=0.25, most=0.5)(key, (8, 12))))
    unknown = ~np.asarray(masks(jax.random.split(key, 400)))
    heights, widths = unknown.any(axis=2).sum(axis=1), unknown.any(axis=1).sum(axis=1)
    assert (unknown.sum(axis=(1, 2)) == heights * widths).all()  # a box and no other shape
    assert set(heights) == {2, 3, 4} and set(widths) == {3, 4, 5, 6}
    assert (unknown.mean(axis=0) > 0).all()  # corners too


def test_strokes_hide_some_pixels_and_never_all(key):
    masks = jax.jit(jax.vmap(lambda key: MASKS["strokes"]()(key, (16, 16))))
    share = 1 - np.asarray(masks(jax.random.split(key, 100))).mean(axis=(1, 2))
    assert share.min() > 0.02 and share.max() < 0.9 and share.std() > 0.05


def test_augmentation_is_the_process_at_the_level_that_is_told(key):
    augmented = degradations.get("super_resolution", factor=1, augmentation={"most": 0.4})
    ones = jnp.ones((2000, 4, 4, 1))
    made = jax.jit(augmented.__call__)(key, ones)
    level, y = np.asarray(made["augmentation"]), np.asarray(made["observation"])
    assert abs(level.mean() - 0.2) < 0.01 and level.max() < 0.4 < level.max() + 0.01
    sde = sdes.VP()
    z = (y - sde.alpha(level)[:, None, None, None]) / sde.sigma(level)[:, None, None, None]
    assert abs(z.mean()) < 4 / np.sqrt(z.size) and abs(z.std() - 1) < 0.02
    clean = augmented(key, ones[:2], 0.0)
    np.testing.assert_array_equal(clean["observation"], ones[:2])
    np.testing.assert_array_equal(clean["augmentation"], np.zeros(2))
    noised = augmented.tell(key, 7 * ones[:2], level=0.3, noised=True)  # as it is
    np.testing.assert_array_equal(noised["observation"], 7 * ones[:2])


def test_what_does_not_fit_is_refused(key, x0):
    with pytest.raises(UsageError, match="reads no mask"):
        degradations.get("super_resolution", masks="boxes")
    with pytest.raises(UsageError, match="fill must be"):
        degradations.get("inpainting", fill="gray")
    with pytest.raises(UsageError, match="Boxes need"):
        degradations.get("inpainting", masks={"name": "boxes", "least": 0.9})
    with pytest.raises(UsageError, match="of augmentation, must be"):
        Augmentation(most=2.0)
    with pytest.raises(UsageError, match="without augmentation"):
        degradations.get("super_resolution")(key, x0, 0.5)
