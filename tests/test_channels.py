"""Images whose channels come first are told to be transposed, wherever their shape is an error."""

import jax
import numpy as np
import pytest

from scoresde import codecs, data, networks
from scoresde.channels import channels_first, hint
from scoresde.experiment.sections import Data
from scoresde.registry import UsageError

SHAPE = (8, 8, 3)
FIRST = np.zeros((5, 3, 8, 8), np.uint8)


@pytest.mark.parametrize("shape", [(3, 32, 32), (9, 1, 28, 28), (2, 3, 218, 178), (4, 4, 64, 32)])
def test_shapes_of_pictures_with_channels_first(shape):
    assert channels_first(shape) and "transpose" in hint(shape)


@pytest.mark.parametrize(
    "shape", [(32, 32, 3), (28, 28, 1), (2, 4, 4, 4), (9, 1, 100, 12), (9, 5, 32, 32), (3, 32), ()]
)
def test_other_shapes_are_left_alone(shape):
    assert not channels_first(shape) and hint(shape) == ""


def test_where_the_shape_is_known_any_image_in_the_other_order_is_noticed():
    assert "transpose" in hint((7, 5, 2, 3), expected=(2, 3, 5))
    assert hint((7, 2, 3, 5), expected=(2, 3, 5)) == hint((3, 5), expected=(2, 3, 5)) == ""


CODEC = codecs.get("images", image_shape=SHAPE)

PLACES = {
    "split": lambda: data.Split(FIRST),
    "encode": lambda: CODEC.encode(None, FIRST),
    "decode": lambda: CODEC.decode(FIRST.astype(np.float32)),
    "unfinished": lambda: CODEC.unfinished(FIRST.astype(np.float32)),
    "network": lambda: networks.get("ncsnpp").init(jax.random.key(0), (3, 32, 32)),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_array_with_channels_first_is_told_to_transpose(place):
    with pytest.raises(UsageError, match=r"transpose to channels last, x\.transpose\(0, 2, 3, 1\)"):
        PLACES[place]()


def test_a_file_of_arrays_with_channels_first_is_too(tmp_path):
    np.savez(tmp_path / "x.npz", train_image=FIRST)
    with pytest.raises(UsageError, match="transpose"):
        data.get("arrays", path=str(tmp_path / "x.npz"))


def test_a_config_in_the_other_order_is_told_its_shape():
    with pytest.raises(UsageError, match=r"not \(3, 32, 16\): set it to \(32, 16, 3\)"):
        Data(source="digits", image_shape=(3, 32, 16))
    latents = Data(source="digits", image_shape=(4, 32, 32), codec="identity")
    assert latents.image_shape == (4, 32, 32)  # data of any order


def test_real_data_are_of_any_order():
    assert data.Split(FIRST.astype(np.float32)).image_shape == (3, 8, 8)
