"""`scoresde restore`, `inpaint`, `colorize` and `edit` on picture files, by an exact score."""

import json
import re

import numpy as np
import pytest
import tiny_color
from PIL import Image

from scoresde.cli import main
from scoresde.data import save_picture


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, and pictures to restore: `in/a.png`, `in/sub/b.png`, `in/c.png`."""
    place = tmp_path_factory.mktemp("restoration")
    tiny_color.make_run(place / "run")
    images = tiny_color.source().splits["train"].images
    for name, image in zip(("a", "sub/b", "c"), images):
        save_picture(place / "in" / f"{name}.png", image)
    mask = np.full((8, 8), 255, np.uint8)
    mask[:, 5:] = 0
    Image.fromarray(mask).save(place / "mask.png")
    return place


def command(place, task, name, *items, source="in"):
    """The exit status, and where its results are."""
    common = ["--workdir", str(place / "run"), "--input", str(place / source)]
    status = main([task, *common, "--out", str(place / name), *items])
    return status, place / name


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def done(directory):
    return json.loads((directory / "restoration.json").read_text())


@pytest.mark.parametrize(
    "method",
    [
        ["replacement"],
        ["projected"],
        ["repaint", "--method_option", "rounds=2"],
        ["dps", "--noise", "1.0"],
        ["pigdm", "--scale", "0.9"],
        ["tmpd"],
    ],
    ids=lambda items: items[0],
)
def test_inpainting_keeps_what_is_known_and_finds_what_is_not(method, place):
    name = f"inpainted by {method[0]}"
    items = ["--mask", str(place / "mask.png"), "--samples", "2", "--method"]
    status, out = command(place, "inpaint", name, *items, *method)
    assert status == 0
    written = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    pictures = {f"{name}_{k}.png" for name in ("a", "sub/b", "c") for k in (0, 1)}
    assert written == pictures | {"sheet.png", "restoration.json"}
    for name in ("a", "sub/b", "c"):
        known = pixels(place / "in" / f"{name}.png")[:, :5]
        first, second = (pixels(out / f"{name}_{k}.png") for k in (0, 1))
        for sample in (first, second):
            np.testing.assert_array_equal(sample[:, :5], known)
            # All pixels share most of what they are, whose standard deviation is 30.
            assert abs(sample[:, 5:].mean() - known.mean()) < 12
            assert 7 < sample[:, 5:].std() < 13  # the truth: 10
        assert (first != second).any()
    record = done(out)
    assert record["task"] == "inpaint" and record["nfe_mean"] >= 31
    assert record["inputs"][0]["results"] == ["a_0.png", "a_1.png"]
    assert len(record["inputs"][0]["sha256"]) == 64
    # A row an input: what is seen, the mask, two samples, mean and standard deviation.
    width, height = Image.open(out / "sheet.png").size
    assert (width - 2) / 6 == (height - 2) / 3 == 66


def test_samples_that_went_astray_are_told_of(place, capsys):
    """DPS of little noise takes more steps than 30 are, and clipping mends that.

    Which --no_clip leaves out, the sampler's own clipping too.
    """
    items = ["--box", "0,5,8,3", "--method", "dps", "--noise", "0.1", "--no_clip"]
    own = "--config.sampler.clip=(-1.0,1.0)"
    status, out = command(place, "inpaint", "astray", own, *items)
    assert status == 0 and done(out)["astray"] == 3
    assert "Warning: 3 of 3 samples went far beyond black and white" in capsys.readouterr().out
    status, out = command(place, "inpaint", "not astray", *items[:-1])
    assert status == 0 and done(out)["astray"] == 0 and done(out)["clip"]


def test_colors_are_found_and_gray_is_kept_to_the_level(place):
    status, out = command(place, "colorize", "colored", "--observe", "--samples", "3")
    assert status == 0
    for name in ("a", "sub/b", "c"):
        total = pixels(place / "in" / f"{name}.png").sum(axis=-1, dtype=int)
        samples = [pixels(out / f"{name}_{k}.png") for k in range(3)]
        for sample in samples:
            np.testing.assert_array_equal(sample.sum(axis=-1, dtype=int), total)
            assert 5 < (sample - sample.mean(axis=-1, keepdims=True)).std() < 12  # the truth: 8.2
        assert (samples[0] != samples[1]).any()


def test_a_gray_picture_is_colored_as_it_is(place):
    Image.fromarray(np.full((8, 8), 77, np.uint8)).save(place / "gray.png")
    status, out = command(place, "colorize", "of gray", source="gray.png")
    assert status == 0
    sample = pixels(out / "gray_0.png")
    assert sample.shape == (8, 8, 3) and (sample.sum(axis=-1, dtype=int) == 231).all()
    status, _ = command(place, "colorize", "refused")  # in color
    assert status == 2 and not (place / "refused").exists()


@pytest.mark.parametrize(
    "items, error",
    [
        (["super_resolution", "--option", "factor=2", "--method", "tmpd"], 1.5),
        (["jpeg", "--option", "quality=30", "--option", "noise=0.1", "--method", "pigdm"], 14),
    ],
    ids=["super_resolution", "jpeg"],
)
def test_what_is_restored_has_the_observation(items, error, place):
    status, out = command(place, "restore", items[0], "--observe", "--observation", *items)
    assert status == 0
    image, sample = pixels(place / "in/a.png").astype(float), pixels(out / "a_0.png").astype(float)
    if items[0] == "super_resolution":
        image, sample = (x.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)) for x in (image, sample))
    assert np.abs(sample - image).mean() < error


def test_a_small_picture_is_what_is_observed_and_a_vector_is_an_array(place):
    image = pixels(place / "in/a.png").astype(float)
    small = np.round(image.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))).astype(np.uint8)
    Image.fromarray(small).save(place / "small.png")
    items = ["--observation", "super_resolution", "--method", "projected"]
    status, out = command(place, "restore", "larger", *items, source="small.png")
    assert status == 0
    sample = pixels(out / "small_0.png").reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(sample, small, atol=1)
    assert done(out)["inputs"][0]["results"] == ["small_0.png"]

    items = ["--observation", "compressed_sensing", "--option", "measurements=5"]
    np.save(place / "y.npy", np.zeros(5))
    status, out = command(place, "restore", "sensed", *items, source="y.npy")
    assert status == 0 and pixels(out / "y_0.png").shape == (8, 8, 3)


def test_an_edit_is_near_its_guide_as_far_as_it_is_asked_for(place):
    image = pixels(place / "in/a.png")
    status, out = command(place, "edit", "not", "--strength", "0", source="in/a.png")
    assert status == 0
    np.testing.assert_array_equal(pixels(out / "a_0.png"), image)
    items = ["--strength", "0.7", "--mask", str(place / "mask.png"), "--repeats", "2"]
    status, out = command(place, "edit", "kept", *items)
    assert status == 0 and done(out)["t0"] == pytest.approx(0.7, abs=1e-3)
    sample = pixels(out / "a_0.png")
    np.testing.assert_array_equal(sample[:, :5], image[:, :5])
    assert (sample[:, 5:] != image[:, 5:]).mean() > 0.8


def test_an_image_of_one_class_becomes_what_it_would_be_in_another(place):
    tiny_color.make_run(place / "labeled", "OfClasses")
    common = ["--workdir", str(place / "labeled"), "--input", str(place / "in/a.png")]
    encode = ["--method", "encode", "--tolerance", "1e-3"]
    classes = ["--from_label", "dark", "--label", "bright"]
    assert main(["edit", *common, *encode, *classes, "--out", str(place / "bright")]) == 0
    change = pixels(place / "bright/a_0.png").astype(int) - pixels(place / "in/a.png")
    # The latents of both classes have the same covariance: the image is shifted.
    assert np.abs(change - 128 * tiny_color.SHIFT).max() < 2.5
    assert main(["edit", *common, "--out", str(place / "none")]) == 2  # of no class


def test_a_result_depends_on_its_image_alone(place):
    items = ["--box", "0,4,8,4", "--samples", "3"]
    command(place, "inpaint", "together", *items)
    command(place, "inpaint", "by two", *items, "--batch_size", "2")
    (place / "elsewhere").mkdir()
    (place / "elsewhere/z.png").write_bytes((place / "in/a.png").read_bytes())
    command(place, "inpaint", "alone", *items[:2], "--samples", "2", source="elsewhere")
    for k in range(3):
        for name in ("a", "sub/b", "c"):
            expected = pixels(place / "together" / f"{name}_{k}.png")
            np.testing.assert_array_equal(pixels(place / "by two" / f"{name}_{k}.png"), expected)
        if k < 2:
            expected = pixels(place / "together" / f"a_{k}.png")
            np.testing.assert_array_equal(pixels(place / "alone" / f"z_{k}.png"), expected)
    command(place, "inpaint", "other seed", *items, "--seed", "1")
    other = pixels(place / "other seed/a_0.png")
    assert (other != pixels(place / "together/a_0.png")).any()


MISTAKES = {
    "a mask of another size": (
        ["inpaint", "--mask", "{place}/small_mask.png"],
        r"small_mask.png' is 4x4, and images .* 8x8",
    ),
    "a mask with gray": (["inpaint", "--mask", "{place}/gray_mask.png"], "not black and white"),
    "a mask with holes": (["inpaint", "--mask", "{place}/holes.png"], "has transparent parts"),
    "no mask of the name": (["inpaint", "--mask", "{place}/masks"], "no mask of the name 'a'"),
    "neither mask nor box": (["inpaint"], "Give a mask, or a box"),
    "a box beyond": (["inpaint", "--box", "4,4,8,8"], "not within the 8x8 pixels"),
    "no box": (["inpaint", "--box", "4,4"], "TOP,LEFT,HEIGHT,WIDTH"),
    "a threshold": (["inpaint", "--mask", "{place}/mask.png", "--threshold", "0"], "1 .. 255"),
    "a threshold of no mask": (["edit", "--threshold", "128"], "A threshold is of a mask"),
    "dps without noise": (
        ["inpaint", "--box", "0,0,2,2", "--method", "dps"],
        "divides by the noise",
    ),
    "an image of another size": (["edit", "@large.png"], "is 9x9, and images here are 8x8.*--fit"),
    "an image that is none": (["edit", "@broken.png"], "broken.png' cannot be read as an image"),
    "nothing there": (["edit", "@nothing.png"], "no file or folder"),
    "another strength": (["edit", "--strength", "1.5"], "strength must be 0 .. 1"),
    "encode of no class": (["edit", "--method", "encode"], "give --from_label and --label"),
    "another edit": (["edit", "--method", "sdedti"], "Did you mean 'sdedit'"),
    "a label": (["edit", "--label", "3"], "config.data.labels=True"),
    "samples": (["edit", "--samples", "0"], "samples must be a positive integer"),
    "a scale": (["inpaint", "--box", "0,0,2,2", "--scale", "much"], "invalid float value: 'much'"),
    "a scale that is not finite": (
        ["inpaint", "--box", "0,0,2,2", "--method", "tmpd", "--scale", "nan"],
        "scale must be a number",
    ),
    "a method": (
        ["colorize", "--observe", "--method", "dsp"],
        "Unknown method 'dsp'. Did you mean",
    ),
    "no option of a method": (
        ["colorize", "--observe", "--method", "pigdm", "--method_option", "foo=3"],
        "has no option 'foo'.*Its options: scale, iterations, tolerance",
    ),
    "what is no option": (
        ["colorize", "--observe", "--method", "pigdm", "--method_option", "observation=3"],
        "has no option 'observation'.*Its options: scale, iterations, tolerance",
    ),
    "an option of another method": (
        ["colorize", "--observe", "--method_option", "rounds=3"],
        "'replacement' has no options",
    ),
    "a small picture of a wrong size": (
        ["restore", "--observation", "super_resolution"],
        "is 8x8, and images here are 4x4",
    ),
    "no array": (["restore", "--observation", "phase_retrieval"], "observed here is no picture"),
    "an array of a wrong shape": (
        [
            "restore",
            "@four.npy",
            "--observation",
            "compressed_sensing",
            "--option",
            "measurements=5",
        ],
        r"holds float64 \[4\], and .* numbers of shape \[5\]",
    ),
    "a linear method": (
        ["restore", "--observation", "jpeg", "--observe", "--method", "projected"],
        "JPEG is not linear: take dps",
    ),
    "an observation": (["restore", "--observation", "blurr"], "Did you mean 'blur'"),
    "an option": (["restore", "--observation", "blur", "--option", "std=a"], "must be a number"),
    "inpainting": (["restore", "--observation", "inpainting"], "for what is masked .* `inpaint`"),
    "results among inputs": (["edit", "--out", "{place}/in/out"], "inputs of the next time"),
    "a mask of an adaptive solver": (
        ["edit", "--mask", "{place}/small_mask.png", "--config.sampler.name=probability_flow"],
        "no place for a constraint, as a mask",
    ),
    "known pixels of an adaptive solver": (
        ["inpaint", "--box", "0,0,2,2", "--config.sampler.name=gotta_go_fast"],
        "no place for a constraint, as a mask",
    ),
    "a tolerance": (["edit", "--tolerance", "-1"], "tolerance must be a positive number"),
    "two places": (["edit", "--name", "a"], "a name, or a directory, not both"),
}


@pytest.fixture(scope="module")
def mistaken(place):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(place / "small_mask.png")
    Image.fromarray(np.full((8, 8), 100, np.uint8)).save(place / "gray_mask.png")
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(place / "holes.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(place / "large.png")
    (place / "masks").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(place / "masks/c.png")
    (place / "broken.png").write_bytes((place / "in/a.png").read_bytes()[:40])
    np.save(place / "four.npy", np.zeros(4))
    return place


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_line_and_nothing_is_written(mistake, mistaken, capsys):
    (task, *items), message = MISTAKES[mistake]
    before = sorted(mistaken.rglob("*"))
    source = items.pop(0)[1:] if items and items[0].startswith("@") else "in"
    items = [item.format(place=mistaken) for item in items]
    status, _ = command(mistaken, task, "refused", *items, source=source)
    error = capsys.readouterr().err
    assert status == 2 and re.search(message, error) and error.count("\n") == 1, error
    assert sorted(mistaken.rglob("*")) == before


def test_a_gray_mask_is_taken_with_a_threshold_and_results_are_kept_unless_asked(place, capsys):
    mask = np.array([[90] * 4 + [200] * 4] * 8, np.uint8)
    Image.fromarray(mask).save(place / "soft.png")
    items = ["--mask", str(place / "soft.png"), "--threshold", "128", "--method", "projected"]
    status, out = command(place, "inpaint", "soft", *items, source="in/a.png")
    assert status == 0
    image, sample = pixels(place / "in/a.png"), pixels(out / "a_0.png")
    np.testing.assert_array_equal(sample[:, 4:], image[:, 4:])
    assert (sample[:, :4] != image[:, :4]).any()

    assert command(place, "inpaint", "soft", *items, source="in/c.png")[0] == 2
    assert "holds results already" in capsys.readouterr().err
    (out / "of mine.png").write_bytes(b"")
    status, _ = command(place, "inpaint", "soft", *items, "--overwrite", source="in/c.png")
    names = {path.name for path in out.iterdir()}
    assert status == 0 and names == {"c_0.png", "of mine.png", "sheet.png", "restoration.json"}
