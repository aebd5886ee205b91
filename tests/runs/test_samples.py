"""Samples of a run in parts: what Python callers see, and what is kept on the way."""

import jax
import numpy as np
import pytest
from tiny_model import make_run

import scoresde
from scoresde import jobs, runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("parts") / "run"
    make_run(workdir)
    return scoresde.load(workdir, ["--config.sampler.steps=4"])


def interrupt(report):
    if report.done == 4:
        raise KeyboardInterrupt


def test_drawing_that_was_interrupted_goes_on_with_its_animation_too(run):
    request = runs.SampleRequest(num=7, batch_size=2, animation=True)
    with pytest.raises(KeyboardInterrupt):
        run.draw(request, name="ours", progress=interrupt)
    reports = []
    ours = run.draw(request, name="ours", progress=reports.append)
    assert [report.found for report in reports][:1] == [4]
    whole = run.draw(request, name="whole")
    for mine, other in zip(ours["files"], whole["files"], strict=True):
        assert mine.name == other.name
        if mine.suffix != ".json":
            assert mine.read_bytes() == other.read_bytes()


def test_it_says_whose_the_steps_are(run):
    for items, words in (
        (["--config.sampler.steps=4"], "by dpm_solver_pp_2m, 4 steps each, 1 batch"),
        (["--config.sampler.name=gotta_go_fast"], "by gotta_go_fast, in steps of its own, 1 batch"),
    ):
        reports = []
        changed = scoresde.load(run.workdir, [*items, "--config.sampler.denoise=none"])
        changed.draw(runs.SampleRequest(num=1), name=words[3:8], progress=reports.append)
        assert words in reports[0].text


def test_an_evaluation_reports_in_the_same_way(run):
    protocol, reports = runs.LikelihoodProtocol(num=3, bound="vdm"), []
    run.likelihood(protocol, name="reported", progress=reports.append)
    assert [report.stage for report in reports if report.stage != "waiting"] == [
        *("start", "compiling", "compiled", "batch", "batch", "end")
    ]
    assert "3 images of 'test'" in reports[0].text and "reported" in reports[0].text
    assert "bits/dim" in reports[-1].text


def test_the_device_holds_one_batch(run):
    held = []

    def measure(report):
        if report.stage == "batch":
            held.append(sum(array.nbytes for array in jax.live_arrays()))

    run.generate(40, batch_size=4, progress=measure)
    assert len(held) == 10 and max(held[1:]) == min(held[1:])


def test_a_condition_may_be_a_function_of_the_numbers_of_the_samples(run):
    seen = []

    def condition(rows):
        seen.append(rows.tolist())

    run.generate(3, batch_size=2, condition=condition)
    assert seen == [[0, 1], [2, 2]]  # the last batch is filled up


def test_pictures_that_a_kill_prevented_are_drawn_by_the_next_run(run, monkeypatch):
    from scoresde.data import pictures

    def killed(*_, **__):
        raise KeyboardInterrupt

    request = runs.SampleRequest(num=2)
    with monkeypatch.context() as context:
        context.setattr(pictures, "save_grid", killed)
        with pytest.raises(KeyboardInterrupt):
            run.draw(request, name="pictures")
    directory = run.workdir / "samples" / "pictures"
    with np.load(directory / "samples.npz") as saved:  # numbers first
        assert len(saved["samples"]) == 2
    run.draw(request, name="pictures", progress=jobs.silent)
    assert (directory / "grid.png").exists() and not (directory / "parts").exists()


def test_pictures_that_cannot_be_drawn_cost_no_numbers(run, monkeypatch, capfd):
    def refuse(*_, **__):
        raise ValueError("no picture")

    monkeypatch.setattr("scoresde.data.pictures.save_grid", refuse)
    monkeypatch.setattr("scoresde.evaluation.plot_likelihood", refuse)
    drawn = run.draw(runs.SampleRequest(num=2), name="undrawn")
    assert [path.name for path in drawn["files"]] == ["samples.npz", "samples.json"]
    found = run.likelihood(runs.LikelihoodProtocol(num=3, bound="vdm"), name="undrawn")
    assert [path.name for path in found["files"]] == ["likelihood.json", "per_image.npz"]
    assert all(path.exists() for path in (*drawn["files"], *found["files"]))
    assert capfd.readouterr().err.count("was not drawn (no picture); no numbers are missing") == 2
