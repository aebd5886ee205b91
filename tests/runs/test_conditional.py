"""Runs whose network is told what is made of an image: trained, sampled, restored, in a cascade."""

import json

import jax
import numpy as np
import pytest
import tiny_told
from PIL import Image

from scoresde import runs
from scoresde.cli import main
from scoresde.data import save_picture
from scoresde.experiment import build
from scoresde.registry import UsageError

HALF = {"name": "super_resolution", "factor": 2}
AUGMENTED = HALF | {"augmentation": {"sde": "vp", "most": 0.5}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Work directories of models that say what they are told, by name."""
    root, key = tmp_path_factory.mktemp("told"), jax.random.key(0)
    tiny_told.make_run(root / "large", key, "Enlarge", condition_from=AUGMENTED)
    tiny_told.make_run(root / "clean", key, "Enlarge", condition_from=HALF)
    tiny_told.make_run(root / "small", key, "Mean", size="small")
    tiny_told.make_run(root / "holes", key, "Fill", condition_from={"name": "inpainting"})
    return root


def squares(images):
    return images.repeat(2, axis=1).repeat(2, axis=2)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)[..., None]


def halves(images):
    """Area means, on the levels."""
    n, height, width, channels = images.shape
    return images.reshape(n, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))


def test_samples_are_of_the_images_of_the_data_in_order(made):
    run = runs.Run(made / "clean")
    drawn = run.generate(5, batch_size=2).images
    images = tiny_told.source().splits["test"].images[:5]
    assert abs(drawn - squares(halves(images))).max() <= 0.5 + 1e-4


def test_what_is_told_in_training_is_of_the_key_of_the_step_alone():
    config = tiny_told.config("Enlarge", condition_from=AUGMENTED)
    loss_fn = build(config).loss_fn()
    batch = {"image": tiny_told.source().splits["train"].images[:8]}
    losses = [float(loss_fn({"scale": 1.0}, jax.random.key(i), batch)[0]) for i in (0, 1, 0)]
    assert losses[0] == losses[2] and abs(losses[0] - losses[1]) > 1e-3


def test_a_loss_on_the_unknown_pixels_alone_does_not_see_the_others():
    config = tiny_told.config("Fill", condition_from={"name": "inpainting"})
    batch = {"image": tiny_told.source().splits["train"].images[:8]}
    key, losses = jax.random.key(0), {}
    for only in (False, True):
        loss_fn = build(config | {"loss": {"unknown_only": only}}).loss_fn()
        losses[only] = [float(loss_fn({"scale": s}, key, batch)[0]) for s in (1.0, 2.0)]
    # Known pixels are right at scale 1 alone, so that the two agree there and only there.
    assert losses[True][0] == pytest.approx(losses[False][0], rel=1e-5)
    assert losses[False][1] > losses[True][1] * 1.05


def test_pictures_are_restored_by_the_network_itself(made, tmp_path):
    small = np.random.default_rng(1).integers(0, 16, (2, 4, 1)).astype(np.uint8)
    save_picture(tmp_path / "a.png", small, bins=16)
    request = runs.RestoreRequest(
        input=tmp_path / "a.png", observation=HALF, method="conditional", samples=2
    )
    summary = runs.Run(made / "large").restore(request, out=tmp_path / "out")
    for path in summary["inputs"][0]["results"]:
        got = pixels(tmp_path / "out" / path)
        np.testing.assert_array_equal(got, squares(small[None])[0] * 17)


def test_inpainting_by_the_network_itself(made, tmp_path):
    image = tiny_told.source().splits["test"].images[0]
    save_picture(tmp_path / "a.png", image, bins=16)
    arguments = ["--workdir", made / "holes", "--input", tmp_path / "a.png", "--box", "1,2,2,3"]
    arguments += ["--method", "conditional", "--out", tmp_path / "out"]
    assert main(["inpaint", *map(str, arguments)]) == 0
    got = pixels(tmp_path / "out/a_0.png") // 17
    truth = image.copy()
    truth[1:3, 2:5] = 11  # x = 0.5 between the levels 11 and 12
    assert abs(got.astype(int) - truth).max() <= 1
    np.testing.assert_array_equal(got[0], image[0])


def test_a_cascade_enlarges_samples_of_the_base_model(made):
    arguments = ["sample", "--workdir", made / "large", "--cascade", made / "small", "--num", 6]
    assert main([*map(str, arguments), "--name", "c", "--batch_size", "4"]) == 0
    drawn = np.load(made / "large/samples/c/samples.npz")["samples"]
    assert (drawn == drawn[:, :1, :1]).all() and len(set(drawn[:, 0, 0, 0])) > 1
    assert set(drawn[:, 0, 0, 0]) <= {0, 15}
    record = json.loads((made / "large/samples/c/samples.json").read_text())
    assert record["augmentation"] == 0.0 and not record["truncated"]
    one_by_one = [*map(str, arguments), "--name", "d", "--batch_size", "1"]
    assert main(one_by_one) == 0
    again = np.load(made / "large/samples/d/samples.npz")["samples"]
    np.testing.assert_array_equal(again, drawn)
    noisy = [*map(str, arguments), "--name", "e", "--augmentation", "0.2", "--truncated"]
    assert main(noisy) == 0
    other = np.load(made / "large/samples/e/samples.npz")["samples"]
    assert (other == squares(other[:, ::2, ::2])).all()  # what it was told, noise and all
    assert len(np.unique(other[0])) > 2


def test_the_base_of_a_cascade_is_clipped_as_its_config_says_and_told_the_classes_asked_for(made):
    key = jax.random.key(0)
    tiny_told.make_run(made / "dim", key, "Mean", size="small", clip=(-0.4, 0.4))
    tiny_told.make_run(made / "shades", key, "Shade", size="small", labels=True)
    tiny_told.make_run(made / "classes", key, "Enlarge", condition_from=AUGMENTED, labels=True)
    for name, base, options in (
        ("large", "dim", {}),
        ("classes", "shades", {"label": 1}),
        ("classes", "shades", {"labels": "1,0"}),
        ("large", "shades", {"labels": "1,0"}),  # which knows no classes itself
    ):
        request = runs.SampleRequest(num=4, cascade=str(made / base), **options)
        runs.Run(made / name).draw(request, name="b", overwrite=True)
        written = np.load(made / name / "samples/b/samples.npz")
        drawn = written["samples"][:, 0, 0, 0]
        if base == "shades":
            assert (written["labels"] == drawn // 15).all()
        if base == "dim":
            assert set(drawn) <= {4, 5, 10, 11}  # not 0 and 15
        else:
            assert drawn.tolist() == ([15] * 4 if "label" in options else [15, 0, 15, 0])
    with pytest.raises(UsageError, match="told of images itself"):
        runs.Run(made / "large").draw(runs.SampleRequest(cascade=str(made / "clean")))


def test_what_an_edit_cannot_be_is_refused(made):
    for options, words in (
        ({}, "which an edited one has not"),
        ({"tolerance": -1.0}, "tolerance must be"),
        ({"tolerance": float("nan")}, "tolerance must be"),
    ):
        with pytest.raises(UsageError, match=words):
            runs.Run(made / "clean").restore(runs.EditRequest(input="x.png", **options))


def test_noise_that_the_network_was_not_trained_for_is_refused(made, tmp_path):
    save_picture(tmp_path / "a.png", np.zeros((4, 8, 1), np.uint8), bins=16)
    request = {"input": tmp_path / "a.png", "box": "0,0,2,2", "method": "conditional"}
    with pytest.raises(UsageError, match=r"was trained for .* not for"):
        runs.Run(made / "holes").restore(runs.InpaintRequest(**request, noise=0.1))


def test_what_does_not_fit_is_refused(made, tmp_path):
    run = runs.Run(made / "clean")
    with pytest.raises(UsageError, match="without augmentation"):
        run.draw(runs.SampleRequest(augmentation=0.1))
    tiny_told.make_run(tmp_path / "whole", jax.random.key(0), "Mean")
    with pytest.raises(UsageError, match="draws samples of shape"):
        run.draw(runs.SampleRequest(cascade=str(tmp_path / "whole")))
    for level in (0.6, -0.1, float("nan")):
        with pytest.raises(UsageError, match=r"must be 0 .. 0.5, as far as .* trained"):
            runs.Run(made / "large").draw(runs.SampleRequest(augmentation=level))
    with pytest.raises(UsageError, match="told nothing of an image"):
        runs.Run(made / "small").draw(runs.SampleRequest(cascade=str(made / "clean")))
    with pytest.raises(UsageError, match="is a cascade"):
        runs.SampleRequest(truncated=True)
    save_picture(tmp_path / "a.png", np.zeros((4, 8, 1), np.uint8), bins=16)
    request = {"input": tmp_path / "a.png", "observe": True}
    for method, observation, words in (
        ("conditional", {"name": "blur"}, "was trained for"),
        ("pigdm", HALF, "by no other method"),
    ):
        with pytest.raises(UsageError, match=words):
            run.restore(runs.RestoreRequest(**request, observation=observation, method=method))
    with pytest.raises(UsageError, match="tells 'seen'"):
        build(tiny_told.config("Enlarge", condition_from=HALF | {"told_as": "seen"}))
    with pytest.raises(UsageError, match="does not divide"):
        build(tiny_told.config("Enlarge", condition_from=HALF | {"factor": 3}))
