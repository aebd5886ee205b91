"""Features of Inception-v3 against torch-fidelity's, clean-fid's and pytorch-fid's."""

import hashlib
import http.server
import threading

import jax
import numpy as np
import pytest
from random_numbers import DATA, case, golden, inception_state_dict, largest_error

from scoresde.metrics import inception, weight_files
from scoresde.pretrained import array_file
from scoresde.registry import UsageError

EXPECTED = golden("inception.npz")
CASES = ["noise_32x32", "checker_64x64", "lowfreq_48x64", "noise_512x512"]


@pytest.fixture(scope="module")
def params():
    return inception.load(inception_state_dict())


@pytest.fixture(scope="module")
def found(params):
    """What the network makes of all cases, resize after resize, one batch a resize."""
    return {name: _together(params, name) for name in inception.RESIZES}


def _together(params, name):
    function, offset, scale = inception.RESIZES[name]
    resized = np.concatenate([function(case(image)) for image in CASES])
    return inception._network(params, resized, offset, scale)


@pytest.mark.parametrize("name", EXPECTED)
def test_features_are_those_of_the_accepted_tools(name, found):
    image, resize, layer = name.split("/")
    feature = np.asarray(found[resize][layer])[[CASES.index(image)]]
    assert feature.dtype == np.float32
    assert largest_error(feature, EXPECTED[name][None]) < 1e-4


def test_a_batch_is_its_images_one_by_one(params, found):
    for resize, batch in found.items():
        alone = inception.features(params, case(CASES[0]), resize=resize)
        assert alone.keys() == batch.keys()
        for layer in alone:
            assert largest_error(alone[layer], batch[layer][:1]) < 1e-5


def test_a_gray_image_is_one_of_three_equal_channels(params):
    gray = case(CASES[0])[..., :1]
    once, thrice = (
        inception.features(params, x)["2048"] for x in (gray, np.repeat(gray, 3, axis=3))
    )
    np.testing.assert_array_equal(once, thrice)


def test_no_convolution_is_left_to_a_lesser_precision(params):
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
    program = str(jax.make_jaxpr(inception.features)(params, images))
    assert program.count("conv_general_dilated[") == 94
    assert program.count("Precision.HIGHEST") >= 95 and "precision=None" not in program


def test_what_is_said_of_the_arguments(params):
    images = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(UsageError, match=r"Unknown resize 'clear'. Did you mean 'clean'"):
        inception.features(params, images, resize="clear")
    with pytest.raises(UsageError, match="uint8, 0 to 255, got float32"):
        inception.features(params, images.astype(np.float32))
    with pytest.raises(UsageError, match=r"those of inception\.load"):
        inception.features(None, images)


@pytest.mark.parametrize("name", ["legacy_state_dict", "legacy_parameters", "zip_state_dict"])
def test_tensors_of_both_formats_of_pytorch_are_read(name, params):
    """A few of them; what else a state dict holds, PyTorch's counts of batches, is not read."""
    expected = golden("weights_expected.npz")
    tensors = array_file.read(DATA / f"weights_{name}.pth")
    for key, array in expected.items():
        np.testing.assert_array_equal(tensors[key], array)
    assert len(inception.shapes()) == 472
    with pytest.raises(UsageError, match=r"FID's Inception-v3: 462 missing \(Conv2d_2a"):
        inception.load(DATA / f"weights_{name}.pth")
    loaded = inception.load(inception_state_dict() | dict(tensors))
    assert jax.tree.all(jax.tree.map(np.array_equal, loaded, params))  # of the same rule


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.weight": np.zeros((1000, 2048))}, r"1 of another shape \(fc.weight \[1000, 2048\]"),
        ({"AuxLogits.fc.bias": np.zeros(3)}, r"1 unexpected \(AuxLogits.fc.bias\).*torchvision"),
        ({"fc.bias": "text"}, "of another shape"),
    ],
)
def test_other_weights_are_refused_in_one_line(change, said):
    with pytest.raises(UsageError, match=said) as caught:
        inception.load(inception_state_dict() | change)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path):
    path = tmp_path / "x-6726825d.pth"
    path.write_bytes((DATA / "weights_zip_state_dict.pth").read_bytes())
    with pytest.raises(UsageError, match=r"not what its name says.*Download it again from https"):
        inception.load(path)


@pytest.fixture
def server(tmp_path):
    """A server of a folder's files: its folder and its address."""
    folder = tmp_path / "server"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as serving:
        threading.Thread(target=serving.serve_forever, args=(0.01,), daemon=True).start()
        yield folder, f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """A file of weights on that server, and nothing in any cache."""
    folder, address = server
    (folder / "w.pth").write_bytes(b"weights")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for variable in ("TORCH_HOME", "W"):
        monkeypatch.delenv(variable, raising=False)
    digest = hashlib.sha256(b"weights").hexdigest()
    fields = {"size": 7, "variable": "W", "sha256": digest, "also": ("v.pth",)}
    return weight_files.WeightFile(name="w.pth", url=f"{address}/w.pth", **fields)


def test_weights_are_downloaded_once(published, server, tmp_path):
    path = published.find()
    assert path == tmp_path / "cache" / "scoresde" / "weights" / "w.pth"
    assert path.read_bytes() == b"weights"
    (server[0] / "w.pth").unlink()
    assert published.find() == path


@pytest.mark.parametrize("content", [b"weightz", b"weigh", None])
def test_what_is_not_the_file_is_not_kept_and_the_remedy_is_said(content, published, server):
    (server[0] / "w.pth").unlink()
    if content:
        (server[0] / "w.pth").write_bytes(content)
    with pytest.raises(
        UsageError, match=r"w.pth cannot be downloaded.*put it at .*w.pth, or say in W"
    ):
        published.find()
    assert not list(weight_files.cache().glob("*"))


def test_weights_are_found_where_one_says_and_where_other_programs_put_them(
    published, tmp_path, monkeypatch
):
    torch = tmp_path / "cache" / "torch" / "hub" / "checkpoints" / "v.pth"
    torch.parent.mkdir(parents=True)
    torch.write_bytes(b"weights")
    assert published.find() == torch
    mine = tmp_path / "mine.pth"
    monkeypatch.setenv("W", str(mine))
    with pytest.raises(UsageError, match=r"W names no file: .*mine.pth"):
        published.find()
    mine.write_bytes(b"others")
    assert published.find() == mine
    assert published.find(torch) == torch
    with pytest.raises(UsageError, match=r"No file .*none.pth"):
        published.find(tmp_path / "none.pth")
