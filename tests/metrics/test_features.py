"""The family of feature extractors."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

import jax
import numpy as np
import pytest
from random_numbers import DATA, case, inception_state_dict, largest_error

from scoresde.metrics import dinov2, features, inception
from scoresde.registry import UsageError

SMALL = json.loads((DATA / "dinov2_b.json").read_text())
FILE = DATA / "dinov2_b_original.safetensors"


@pytest.fixture(scope="module")
def of_inception():
    return features.get("inception", weights=inception_state_dict(), resize="clean")


@pytest.fixture(scope="module")
def of_dinov2():
    return features.get("dinov2", weights=FILE, config=SMALL, preprocess="edm2")


def test_an_extractor_gives_features_and_logits_and_says_what_it_is(of_inception, of_dinov2):
    images = case("noise_32x32")
    for extractor, logits in ((of_inception, 1008), (of_dinov2, 0)):
        found = extractor(images)
        assert found["features"].shape == (1, extractor.dim)
        assert found.keys() == ({"features", "logits"} if logits else {"features"})
        assert not logits or found["logits"].shape == (1, logits)
        assert {"name", "resize", "sha256", "precision"} <= extractor.protocol.keys()
        assert extractor.protocol == json.loads(json.dumps(extractor.protocol))
        assert extractor.protocol["name"] == extractor.name
    assert of_inception.is_inception and not of_dinov2.is_inception


def test_its_options_reach_the_network(of_inception, of_dinov2):
    images = case("noise_32x32")
    params = inception.load(inception_state_dict())
    expected = inception.features(params, images, "clean")
    found = of_inception(images)
    np.testing.assert_array_equal(found["features"], expected["2048"])
    np.testing.assert_array_equal(found["logits"], expected["logits_unbiased"])
    pixels = dinov2.preprocess(images, "edm2")
    expected = dinov2.features(dinov2.load(FILE), SMALL, pixels)
    np.testing.assert_array_equal(of_dinov2(images)["features"], expected)
    assert (of_inception.protocol["resize"], of_dinov2.protocol["resize"]) == ("clean", "edm2")


def test_other_weights_than_the_published_ones_are_said_so(of_inception, of_dinov2, monkeypatch):
    """Whose hash is in the record."""
    assert of_inception.name == "Inception-v3 (weights: arrays)"
    assert of_inception.protocol["sha256"] is None
    assert of_dinov2.name == "DINOv2 of 3 blocks and 24 channels"
    assert of_dinov2.protocol["weights"] == FILE.name and len(of_dinov2.protocol["sha256"]) == 64
    record = {"sha256": inception.FILE.sha256, "weights": inception.FILE.name}
    monkeypatch.setattr(
        "scoresde.metrics.features.inception.found", lambda *_: (inception_state_dict(), record)
    )
    published = features.get("inception")
    assert published.name == "Inception-v3 (TensorFlow graph of 2015-12-05)"


def test_one_of_your_own_is_reached_by_its_place(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parent)
    assert features.get("random_numbers:image", kind="noise", height=2, width=2).shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("inceptoin", {}, "Unknown feature extractor 'inceptoin'. Did you mean 'inception'"),
        ("inception", {"resise": "tf1"}, "no option 'resise'. Did you mean 'resize'"),
        ("inception", {"resize": "tf2"}, "Unknown resize 'tf2'"),
        ("dinov2", {"preprocess": "pil"}, "Unknown preprocessing 'pil'"),
        ("inception", {"weights": "none.pth"}, "No file none.pth"),
        ("dinov2", {"weights": str(FILE)}, "of another DINOv2 than config"),
        ("dinov2", {"weights": 3}, "arrays by name, not 3"),
    ],
)
def test_what_is_wrong_is_said_when_it_is_made(name, options, said):
    with pytest.raises(UsageError, match=said):
        features.get(name, **options)


def test_other_metrics_do_without_flax():
    code = "import sys, scoresde.metrics; assert 'flax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_features_are_float32_where_jax_computes_in_float64(of_inception, of_dinov2):
    images = case("noise_32x32")
    for extractor in (of_inception, of_dinov2):
        expected = extractor(images)
        with jax.enable_x64(True):
            found = extractor(images)
            assert dinov2.preprocess(images).dtype == np.float32
        for name in found:
            assert found[name].dtype == np.float32
            assert largest_error(found[name], expected[name]) < 1e-5


@pytest.mark.thorough  # Inception is compiled anew, for eight devices
def test_images_that_are_split_over_eight_devices_have_the_features_they_have_on_one():
    code = """
        import jax, numpy as np
        from random_numbers import inception_state_dict, largest_error
        from scoresde import training
        from scoresde.metrics import features
        mesh = training.make_mesh()
        assert mesh.size == 8
        images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
        split = jax.device_put(images, training.batch_sharding(mesh))
        extractor = features.get("inception", weights=inception_state_dict())
        one, eight = extractor(images), extractor(split)
        for name, found in eight.items():
            assert len(found.sharding.device_set) == 8
            assert largest_error(found, one[name]) < 1e-5
        """
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": str(pathlib.Path(__file__).parent)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
