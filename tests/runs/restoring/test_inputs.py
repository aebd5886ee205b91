"""What is read as inputs and masks, and what is refused."""

import jax
import numpy as np
import pytest
from PIL import Image

from scoresde.registry import UsageError, UsageWarning
from scoresde.runs.restoring.inputs import read_inputs
from scoresde.runs.restoring.masks import box_mask, read_masks

SHAPE = (4, 4, 3)


def picture(path, value=7, size=(4, 4)):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.full(size, value, np.uint8)).save(path)


def test_a_folder_is_read_by_path_and_what_is_no_picture_is_told(tmp_path):
    for i, name in enumerate(["b.png", "a/z.bmp", ".hidden.png"]):
        picture(tmp_path / name, value=i)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.warns(UsageWarning, match=r"Not read .* 1 hidden .*notes.txt"):
        inputs = read_inputs(tmp_path, SHAPE)
    assert inputs.names == ["a/z", "b"] and inputs.arrays.dtype == np.uint8
    np.testing.assert_array_equal(inputs.arrays[:, 0, 0, 0], [1, 0])


def test_a_key_is_that_of_what_an_input_holds_wherever_it_is(tmp_path):
    for name, value in (("a.png", 3), ("b.png", 4), ("c.png", 3)):
        picture(tmp_path / name, value)
    whole = read_inputs(tmp_path, SHAPE)
    keys = jax.random.key_data(whole.keys(jax.random.key(0)))
    alone = read_inputs(tmp_path / "c.png", SHAPE).keys(jax.random.key(0))
    np.testing.assert_array_equal(jax.random.key_data(alone)[0], keys[2])
    np.testing.assert_array_equal(keys[0], keys[2])
    assert (keys[0] != keys[1]).any()
    assert (jax.random.key_data(whole.keys(jax.random.key(1))) != keys).all()
    gray = read_inputs(tmp_path / "c.png", (4, 4, 1))
    assert gray.digests() != read_inputs(tmp_path / "c.png", SHAPE).digests()


def test_a_picture_is_made_to_fit_and_only_where_it_is_asked_for(tmp_path):
    picture(tmp_path / "wide.png", size=(8, 12))
    assert read_inputs(tmp_path, SHAPE, fit=True).arrays.shape == (1, *SHAPE)
    with pytest.raises(UsageError, match="is 8x12, and images here are 4x4"):
        read_inputs(tmp_path, SHAPE)
    with pytest.raises(UsageError, match="--fit makes squares, and the images here are 4x6"):
        read_inputs(tmp_path, (4, 6, 3), fit=True)


def test_inputs_whose_results_would_be_one_file_are_refused(tmp_path):
    picture(tmp_path / "a.png")
    picture(tmp_path / "a.bmp")
    with pytest.raises(UsageError, match=r"a.bmp' and .*a.png' would have results of one name"):
        read_inputs(tmp_path, SHAPE)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.array([1.0, np.nan]), "not finite"),
        (np.array(["a", "b"]), r"holds <U1 \[2\]"),
        (np.array([{}, {}]), "cannot be read"),
    ],
)
def test_arrays_that_are_no_observation_are_refused(array, message, tmp_path):
    np.save(tmp_path / "y.npy", array)
    with pytest.raises(UsageError, match=message) as error:
        read_inputs(tmp_path / "y.npy", (2,))
    assert "\n" not in str(error.value)


def test_each_input_has_the_mask_of_its_name_or_all_have_one(tmp_path):
    for i, name in enumerate(["a.png", "b.png"]):
        picture(tmp_path / "in" / name)
        mask = np.zeros((4, 4), np.uint8)
        mask[i] = 255
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / name.replace("png", "bmp"))
    inputs = read_inputs(tmp_path / "in", SHAPE)
    masks = read_masks(tmp_path / "masks", inputs, (4, 4))
    assert masks.dtype == bool and masks.any(axis=2).tolist() == np.eye(2, 4, dtype=bool).tolist()
    one = read_masks(tmp_path / "masks/b.bmp", inputs, (4, 4))
    np.testing.assert_array_equal(one, np.stack([masks[1]] * 2))


def test_a_box_is_what_is_not_known():
    expected = np.ones((4, 6), bool)
    expected[1:3, 2:6] = False
    np.testing.assert_array_equal(box_mask("1,2,2,4", (4, 6)), expected)
    np.testing.assert_array_equal(box_mask((1, 2, 2, 4), (4, 6)), expected)
    for box in ("1,2,2,5", "0,0,0,1", "a", 3):
        with pytest.raises(UsageError):
            box_mask(box, (4, 6))
