"""What an extractor sees of images, and that it sees each of them once."""

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_model import Pixels

from scoresde import data, quality, training


@pytest.mark.parametrize("bins", [2, 4, 17, 256])
def test_levels_are_seen_as_they_are_shown(bins):
    levels = np.arange(bins, dtype=np.uint8)
    seen = np.asarray(quality.to_8_bits(jnp.asarray(levels), bins))
    assert seen[0] == 0 and seen[-1] == 255 and seen.dtype == np.uint8
    expected = [round(255 * level / (bins - 1)) for level in range(bins)]
    np.testing.assert_array_equal(seen, expected)
    pixels = data.image_grid(levels.reshape(bins, 1, 1, 1), columns=bins, bins=bins, scale=1)
    np.testing.assert_array_equal(pixels[2, 2::3, 0][:bins], seen)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_every_image_is_looked_at_once_whatever_the_batches(batch_size):
    images = np.random.default_rng(0).integers(0, 4, (7, 2, 2, 1), np.uint8)
    found = quality.extract(
        lambda rows: images[rows],
        7,
        Pixels(),
        name="seven",
        mesh=training.make_mesh(),
        bins=4,
        batch_size=batch_size,
    )
    np.testing.assert_allclose(found.features, images.reshape(7, 4) / 3, rtol=1e-6)
    assert found.num == 7 and found.logits.shape == (7, 2)
