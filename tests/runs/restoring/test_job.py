"""A job that restores images in parts: interrupted, resumed, and where its results go."""

import numpy as np
import pytest
import tiny_color
from PIL import Image

import scoresde
from scoresde import runs
from scoresde.data import save_picture
from scoresde.registry import UsageError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("job") / "run"
    for i, image in enumerate(tiny_color.source().splits["train"].images[:3]):
        save_picture(workdir.parent / "in" / f"{i}.png", image)
    return scoresde.load(tiny_color.make_run(workdir))


def request(run, **options):
    return runs.InpaintRequest(
        input=run.workdir.parent / "in", box=(0, 4, 8, 4), samples=2, batch_size=2, **options
    )


def interrupt(report):
    if report.done == 2:
        raise KeyboardInterrupt


def test_what_was_interrupted_goes_on_and_gives_the_same(run):
    with pytest.raises(KeyboardInterrupt):
        run.restore(request(run), name="ours", progress=interrupt)
    ours = run.workdir / "restorations" / "ours"
    assert sorted(path.name for path in ours.iterdir()) == ["parts"]
    with pytest.raises(UsageError, match="another protocol: seed is 0 there, 5 here"):
        run.restore(request(run, seed=5), name="ours")
    reports = []
    result = run.restore(request(run), name="ours", progress=reports.append)
    assert reports[0].found == 2 and not (ours / "parts").exists()
    whole = run.restore(request(run), out=run.workdir.parent / "whole")
    assert len(result["files"]) == len(whole["files"]) == 8
    for mine, other in zip(result["files"], whole["files"]):
        assert mine.name == other.name
        if mine.suffix == ".png":
            assert mine.read_bytes() == other.read_bytes()
    assert result["inputs"] == whole["inputs"] and result["unfinished"] == 0


def test_other_inputs_are_another_protocol(run):
    """Also of the same names, and other masks of the same image."""
    with pytest.raises(KeyboardInterrupt):
        run.restore(request(run), name="other", progress=interrupt)
    changed = runs.InpaintRequest(input=run.workdir.parent / "in", box=(0, 0, 8, 4), samples=2)
    with pytest.raises(UsageError, match="another protocol"):
        run.restore(changed, name="other")


def test_samples_that_are_not_finite_are_counted_and_gray(run, tmp_path):
    broken = scoresde.load(tiny_color.make_run(tmp_path / "run", mean=np.nan))
    result = broken.restore(request(run, method="projected"), name="broken")
    assert result["unfinished"] == 6 and result["astray"] == 0
    with Image.open(result["files"][-1]) as picture:
        assert (np.asarray(picture)[:, 4:] == 128).all()


def test_the_default_place_is_in_the_run_by_task_and_step(run):
    result = run.restore(request(run, method="projected"))
    assert result["files"][0].parent == run.workdir / "restorations" / "inpaint_0"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: runs.InpaintRequest(input="a", box="0,0,1,1", samples=1.5), "must be an integer"),
        (lambda: runs.InpaintRequest(input="a"), "Give a mask, or a box"),
        (lambda: runs.EditRequest(input="a", strength="much"), "must be a number, not 'much'"),
        (lambda: runs.EditRequest(input="a", repeats=-1), "must not be negative"),
        (lambda: runs.EditRequest(input="a", seed=-1), "seed must be"),
    ],
)
def test_a_request_that_cannot_be_is_a_line(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_what_is_no_request_and_a_run_of_points_are_refused(run):
    with pytest.raises(UsageError, match="said by a request, not by 'inpaint'"):
        run.restore("inpaint")
    with pytest.raises(UsageError, match="is a name, or a section"):
        run.restore(request(run, method=3))


def test_a_run_whose_data_are_gone_takes_256_levels(run):
    gone = scoresde.load(
        run.workdir, ["--config.data.source=folder", "--config.data.source.path=no"]
    )
    edit = runs.EditRequest(input=run.workdir.parent / "in" / "0.png", strength=0.0)
    with pytest.warns(scoresde.registry.UsageWarning, match="are not here.*taken to have 256"):
        result = gone.restore(edit, name="gone")
    assert result["bins"] == 256 and np.isfinite(result["seconds"])
