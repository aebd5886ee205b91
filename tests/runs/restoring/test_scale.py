"""Levels of picture files and of models, and colors of a given total."""

import numpy as np
import pytest

from scoresde import codecs
from scoresde.registry import UsageError
from scoresde.runs.restoring.colorize import with_total
from scoresde.runs.restoring.scale import PixelScale


@pytest.mark.parametrize("dequantize", [False, True])
@pytest.mark.parametrize("bins", [2, 17, 256])
def test_a_file_of_the_models_levels_is_read_as_those_and_x_of_them_decodes_to_them(
    bins, dequantize
):
    codec = codecs.get("images", image_shape=(1, bins, 1), bins=bins, dequantize=dequantize)
    scale, levels = PixelScale.of(codec), np.arange(bins, dtype=np.uint8).reshape(1, bins, 1)
    written = np.round(levels * (255 / (bins - 1))).astype(np.uint8)
    np.testing.assert_array_equal(scale.levels(written), levels)
    x = scale.x_of_levels(levels)
    np.testing.assert_array_equal(codec.decode(x), levels)
    np.testing.assert_allclose(scale.real_levels(x), levels, atol=1e-4)
    np.testing.assert_allclose(scale.x_of_picture(levels * (255 / (bins - 1))), x, atol=1e-6)
    np.testing.assert_array_equal(scale.nearest_levels(x), levels)
    if not dequantize:
        np.testing.assert_allclose(x, np.asarray(codec.encode(None, levels[None]))[0], atol=1e-6)


def test_what_has_no_pixels_of_x_is_refused():
    with pytest.raises(UsageError, match="data of this run are none"):
        PixelScale.of(codecs.get("identity", image_shape=(3,), bins=None))
    with pytest.raises(UsageError, match="have 2 channels"):
        PixelScale.of(codecs.get("images", image_shape=(4, 4, 2)))


@pytest.mark.parametrize("bins", [2, 17, 256])
def test_colors_have_their_total_and_are_near(bins):
    rng, top = np.random.default_rng(0), bins - 1
    totals = rng.integers(0, 3 * top + 1, size=500)
    levels = rng.normal(top / 2, top, size=(500, 3))
    colors = with_total(levels, totals, bins)
    np.testing.assert_array_equal(colors.sum(axis=-1), totals)
    assert colors.max() <= top
    whole = rng.integers(0, bins, size=(500, 3))
    np.testing.assert_array_equal(with_total(whole.astype(float), whole.sum(axis=-1), bins), whole)
    # The nearest in the plane of that total, but for rounding, where all is within the levels.
    inside = rng.uniform(0.3 * top, 0.7 * top, size=(500, 3))
    totals = np.round(inside.sum(axis=-1)).astype(int)
    assert np.abs(with_total(inside, totals, bins) - inside).max() < 1.2


def test_white_black_and_what_is_not_finite_are_gray():
    far = np.array([[300.0, -5.0, 90.0], [9.0, -9.0, 0.0], [np.nan, 1.0, 2.0]])
    colors = with_total(far, np.array([765, 0, 300]), 256)
    np.testing.assert_array_equal(colors, [[255] * 3, [0] * 3, [100] * 3])
