"""Resizes against those of the programs that published numbers were made with."""

import jax
import numpy as np
import pytest
from random_numbers import case, golden, image

from scoresde.metrics import resize
from scoresde.registry import UsageError

AT_299, AT_224 = golden("resize_299.npz"), golden("resize_224.npz")
MEAN, STD = (np.array(v, np.float32) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


def cases(file):
    return sorted({name.partition("/")[0] for name in file if "/" in name})


def picked(result, rows):
    return np.asarray(result)[0][rows][:, rows]


@pytest.mark.parametrize("name", cases(AT_299))
def test_to_299_it_is_tensorflows_pytorch_fids_and_clean_fids(name):
    rows, images = AT_299["index_299"], case(name)
    for function, key, scale in (
        (resize.tf1, "tf1", 1),
        (resize.pytorch_fid, "pytorchfid", 255),
        (resize.clean, "clean", 1),
    ):
        result = np.asarray(function(images))
        assert result.shape == (1, 299, 299, 3) and result.dtype == np.float32
        expected = scale * AT_299[f"{name}/{key}"]
        np.testing.assert_allclose(picked(result, rows), expected, rtol=0, atol=1e-4)
        mean, *_, low, high = scale * AT_299[f"{name}/{key}/sums"]
        found = np.mean(result, dtype=np.float64), np.min(result), np.max(result)
        np.testing.assert_allclose(found, (mean, low, high), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", cases(AT_224))
def test_to_224_it_is_pillows_to_the_bit_and_edm2s(name):
    rows, images = AT_224["index_224"], case(name)
    eight_bits = np.asarray(resize.pillow(images))
    assert eight_bits.dtype == np.uint8
    np.testing.assert_array_equal(picked(eight_bits, rows), AT_224[f"{name}/dgm_eval_uint8"])
    assert np.mean(eight_bits, dtype=np.float64) == AT_224[f"{name}/dgm_eval_uint8/sums"][0]
    found = (picked(resize.bicubic(images), rows) / 255 - MEAN) / STD
    np.testing.assert_allclose(found, AT_224[f"{name}/edm2"], rtol=0, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (300, 5), (33, 260)])
def test_every_shape_is_resized_as_pillow_does_it(shape):
    """Pass by pass, since Pillow 13 takes the passes of some shapes in another order."""
    from PIL import Image

    one, bicubic = image("noise", *shape), Image.Resampling.BICUBIC
    rows = Image.fromarray(one).resize((24, shape[0]), bicubic)
    both = np.asarray(rows.resize((24, 24), bicubic))
    np.testing.assert_array_equal(resize.pillow(one[None], size=24)[0], both)
    channels = [Image.fromarray(c.astype(np.float32)) for c in np.moveaxis(one, -1, 0)]
    reals = np.stack([np.asarray(c.resize((24, 24), bicubic)) for c in channels], axis=-1)
    found = resize.clean(one[None], size=24)[0]
    np.testing.assert_allclose(found, reals.clip(0, 255), rtol=0, atol=1e-4)


RESIZES = [resize.tf1, resize.pytorch_fid, resize.clean, resize.bicubic, resize.pillow]


@pytest.mark.parametrize("function", RESIZES)
def test_an_image_of_the_size_asked_for_stays_and_gray_is_three_equal_channels(function):
    images = np.stack([image("noise", 13, 13), image("gradient", 13, 13)])
    np.testing.assert_array_equal(function(images, size=13), images)
    gray = function(images[..., :1], size=20)
    np.testing.assert_array_equal(gray[..., 0], gray[..., 2])
    traced = jax.jit(lambda x: function(x, size=20))(images)
    np.testing.assert_allclose(traced, function(images, size=20), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (np.zeros((1, 4, 4, 3), np.float32), "uint8, 0 to 255, got float32.*astype"),
        (np.zeros((4, 4, 3), np.uint8), r"got \[4, 4, 3\]. One is x\[None\]"),
        (np.zeros((4, 4), np.uint8), r"got \[4, 4\]. Add axes"),
        (np.zeros((1, 4, 4, 4), np.uint8), "Drop alpha"),
        (np.zeros((1, 3, 32, 32), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((1, 0, 4, 3), np.uint8), "a height and a width"),
        ([[1, 2], [3, 4]], "an array of NumPy's or JAX's, uint8"),
    ],
)
def test_what_is_no_8_bit_image_is_refused_in_one_line(images, said):
    with pytest.raises(UsageError, match=said) as caught:
        resize.tf1(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, "299", 2.5])
def test_a_size_is_a_positive_integer(size):
    with pytest.raises(UsageError, match="size must be"):
        resize.clean(np.zeros((1, 4, 4, 3), np.uint8), size)
