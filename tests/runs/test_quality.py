"""The evaluation of a run's samples: what it measures, how it goes on, and what it refuses."""

import json

import jax
import numpy as np
import pytest
from tiny_model import Pixels, make_run, source

import scoresde
from scoresde import data, metrics, quality, runs, training
from scoresde.registry import UsageError

NUM = 40
STEPS = ["--config.sampler.name=ddim", "--config.sampler.steps=4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("quality") / "run"
    make_run(workdir)
    run = scoresde.load(workdir, STEPS)
    # Parameters that get better, and then worse.
    params = run.params()
    with training.Checkpoints(workdir / "checkpoints", keep=None) as checkpoints:
        for step, mean in ((1, 0.9), (2, 0.1), (3, -0.5)):
            shifted = jax.tree.map(lambda leaf, mean=mean: 0 * leaf + mean, params)
            experiment = run.experiment
            state = training.create_state(
                jax.random.key(1), shifted, experiment.optimizer, experiment.averages
            )
            checkpoints.save(step, state)
    return scoresde.load(workdir, STEPS)


def protocol(**options):
    given = {"metrics": ("fd", "kid"), "extractor": "tiny_model:Pixels", "num": NUM, "step": 0}
    given |= {"batch_size": 16, **options}
    checkpoint = given.pop("step")
    return runs.QualityProtocol(**{"checkpoints": checkpoint, **given})


def pixels(images):
    return np.asarray(Pixels()(quality.to_8_bits(images, 4))["features"])


@pytest.fixture(scope="module")
def evaluated(run):
    return run.evaluate(protocol(), name="evaluated")


def test_the_numbers_are_of_the_samples_that_the_seed_gives(run, evaluated):
    samples = run.generate(NUM, seed=0, step=0, batch_size=8).images
    gen, ref = pixels(samples), pixels(source().splits["train"].images)
    moments = [metrics.Statistics().update(x).result() for x in (gen, ref)]
    expected = metrics.frechet(*moments[0], *moments[1])
    assert evaluated["metrics"]["fd"]["value"] == pytest.approx(expected, rel=1e-6)
    assert evaluated["metrics"]["fd"]["label"] == "FD (pixels)"
    assert evaluated["metrics"]["fd"]["error"] > 0
    kid = metrics.kid(gen, ref, 100, 20, 2020).mean
    assert evaluated["metrics"]["kid"]["value"] == pytest.approx(kid, rel=1e-6)
    # As many true images, beside them.
    test = pixels(source().splits["test"].images[:NUM])
    floor = metrics.frechet(*metrics.Statistics().update(test).result(), *moments[1])
    assert evaluated["floor"]["images"] == f"{NUM} test images"
    assert evaluated["floor"]["metrics"]["fd"]["value"] == pytest.approx(floor, rel=1e-6)


def test_all_that_the_numbers_depend_on_is_recorded(run, evaluated):
    found = json.loads((run.workdir / "evaluation/evaluated/evaluation.json").read_text())
    assert found["num"] == NUM and found["seed"] == 0 and found["nfe_mean"] == 5
    assert found["cell"] == {"step": 0, "average": "ema"} and found["unfinished"] == 0
    assert found["sampler"]["name"] == "ddim" and found["sampler"]["steps"] == 4
    assert "denoise=Tweedie()" in found["sampler_in_full"]
    assert found["features"] == {"name": "pixels"} and found["options"]["kid"]["seed"] == 2020
    assert found["reference"]["images"] == 128 and len(found["reference"]["sha256"]) == 64
    assert found["versions"]["jax"] == jax.__version__ and "4 levels" in found["rounding"]
    page = (run.workdir / "evaluation/evaluated/report.html").read_text()
    assert "Nearest training images" in page and page.count("<img") == 2


def test_neither_batch_size_nor_interruption_changes_a_number(run, evaluated):
    def interrupt(report):
        if report.num == NUM and report.done == 21:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.evaluate(protocol(batch_size=7), name="again", progress=interrupt)
    parts = run.workdir / "evaluation/again/parts/000"
    kept = {path: path.stat().st_mtime_ns for path in parts.glob("0*.npz")}
    assert len(kept) == 3
    with pytest.raises(UsageError, match="seed is 0 there, 1 here"):
        run.evaluate(protocol(batch_size=7, seed=1), name="again")
    reports = []
    again = run.evaluate(protocol(batch_size=7), name="again", progress=reports.append)
    assert next(report.found for report in reports if report.num == NUM) == 21
    for name, number in evaluated["metrics"].items():
        assert again["metrics"][name]["value"] == pytest.approx(number["value"], rel=1e-6)
    assert not parts.parent.exists()
    with pytest.raises(UsageError, match="holds results already"):
        run.evaluate(protocol(batch_size=7), name="again")


def test_features_of_the_data_are_extracted_once(run, evaluated):
    reports = []
    run.evaluate(protocol(num=16), name="few", progress=reports.append)
    assert {report.num for report in reports} == {16}
    # They are a file of statistics like any other.
    file = next((run.workdir / "statistics").glob("train_*.npz"))
    same = run.evaluate(protocol(num=16, reference=str(file)), name="from a file")
    few = json.loads((run.workdir / "evaluation/few/evaluation.json").read_text())
    assert same["metrics"]["fd"]["value"] == few["metrics"]["fd"]["value"]


def test_the_best_checkpoint_is_found_and_measured_with_other_samples(run):
    best = run.evaluate(protocol(step="best"))
    assert [row["cell"]["step"] for row in best["rows"]] == [0, 1, 2, 3, best["cell"]["step"]]
    assert best["cell"]["step"] in (0, 2) and best["seed"] == 1  # which are equal
    chosen = [row["metrics"]["fd"]["value"] for row in best["rows"][:4]]
    assert chosen[1] > 2 * chosen[2] and chosen[3] > 2 * chosen[2]
    assert list(best["rows"][0]["metrics"]) == ["fd"] and list(best["metrics"]) == ["fd", "kid"]
    assert "All that was evaluated" in (run.workdir / "evaluation/best/report.html").read_text()


def test_samplers_checkpoints_and_averages_are_swept(run):
    swept = run.evaluate(
        protocol(
            step=[0, 3],
            metrics=("fd", "bpd"),
            averages=("ema", None),
            sweep={"sampler.steps": [2, 4]},
            likelihood=runs.LikelihoodProtocol(num=2, bound="vdm"),
        )
    )
    cells = [tuple(row["cell"].values()) for row in swept["rows"]]
    assert cells[:4] == [(0, "ema", 2), (0, "ema", 4), (0, "raw", 2), (0, "raw", 4)]
    assert len(set(cells)) == 8 and [row["nfe_mean"] for row in swept["rows"][:2]] == [3, 5]
    assert swept["cell"]["step"] == 0
    bits = swept["rows"][0]["metrics"]["bpd"]
    assert bits["label"] == "bits/dim" and bits["error_is"] == "standard error over 2 test images"
    assert len(list((run.workdir / "likelihood").iterdir())) == 4  # of all samplers once


def test_a_likelihood_is_of_all_samplers_once_also_where_results_are_replaced(run):
    given = {
        "metrics": ("bpd",),
        "sweep": {"sampler.steps": [2, 4]},
        "likelihood": runs.LikelihoodProtocol(num=2, bound="vdm"),
    }
    for overwrite in (False, True):
        told: list[str] = []
        run.evaluate(
            protocol(**given),
            name="bits",
            overwrite=overwrite,
            progress=lambda report, told=told: told.append(f"{report.stage}: {report.text}"),
        )
        # Beside it, features of the data are made for the first that needs them.
        assert sum(words.startswith("start: Evaluating") for words in told) == 1


@pytest.mark.parametrize("num, kept", [(5, ["fd", "precision"]), (1, None)])
def test_true_images_that_are_too_few_for_a_measure_cost_no_number(num, kept, run, monkeypatch):
    images = source().splits["test"].images[:num]
    monkeypatch.setitem(run.experiment.source.splits, "test", data.Split(images))
    found = run.evaluate(protocol(metrics=("fd", "is", "precision")), name=f"few_{num}")
    assert list(found["metrics"]) == ["fd", "is", "precision"]
    assert (found["floor"] and list(found["floor"]["metrics"])) == kept


def test_samples_that_are_not_finite_are_counted(run):
    broken = scoresde.load(
        run.workdir,
        ["--config.sampler.name=probability_flow", "--config.sampler.max_steps=1"],
    )
    found = broken.evaluate(protocol(num=4, metrics=("fd",)), name="broken")
    assert found["unfinished"] == 4


BAD = {
    "metrics=()": ({"metrics": ()}, "needs a metric"),
    "unknown metric": ({"metrics": ("fdd",)}, "Unknown metric 'fdd'"),
    "fid": ({"metrics": ("fid",)}, "not of pixels"),
    "num=1": ({"num": 1}, "at least 2"),
    "num=0": ({"num": 0}, "num must be a positive integer"),
    "a step that is not there": ({"step": 77}, "77"),
    "checkpoints": ({"step": "worst"}, "a step, all or best"),
    "average": ({"averages": ("slow",)}, "slow"),
    "key": ({"sweep": {"sampler.stepz": [1]}}, "stepz"),
    "value": ({"sweep": {"sampler.steps": [4, -1]}}, "steps"),
    "split": ({"split": "valid"}, "no split 'valid'"),
    "reference": ({"reference": "nowhere.npz"}, "no file or folder 'nowhere.npz'"),
    "no extractor": ({"extractor": "builtins:dict"}, "dict has no name, dim"),
    "extractor": ({"extractor": "inceptoin"}, "Did you mean 'inception'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_measured_is_one_line_and_nothing_is_written(name, run):
    options, message = BAD[name]
    before = sorted((run.workdir / "evaluation").glob("*"))
    with pytest.raises(UsageError) as error:
        run.evaluate(protocol(**options), name="bad")
    assert message in str(error.value) and "\n" not in str(error.value)
    assert sorted((run.workdir / "evaluation").glob("*")) == before
