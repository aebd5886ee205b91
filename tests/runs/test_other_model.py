"""How a model of another run is named."""

import pytest
from tiny_model import make_run

from scoresde.registry import UsageError
from scoresde.runs.other_model import other_model


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "run@1"  # a mark of its own
    make_run(path)
    return path


@pytest.mark.parametrize(
    "behind, average", [("", "ema"), ("@0", "ema"), ("@raw", None), ("@0@raw", None), ("@x", "x")]
)
def test_a_run_may_be_given_with_a_step_and_an_average(workdir, behind, average):
    model = other_model(f"{workdir}{behind}", "--weak")
    assert (model.run.workdir, model.step, model.average) == (workdir, 0, average)
    assert other_model(str(model), "--weak").average == average  # what is recorded says it all


def test_its_denoiser_is_of_those_parameters(workdir):
    assert other_model(f"{workdir}@raw", "--weak").denoiser(0.1).sde.t_min == 0.1
    with pytest.raises(UsageError, match="no average 'x'"):
        other_model(f"{workdir}@x", "--weak").params()


@pytest.mark.parametrize("behind", ["@0@raw@1", "@raw@0", "@", "@0.5"])
def test_another_form_is_refused(workdir, behind):
    with pytest.raises(UsageError, match="--weak is DIR, or DIR@STEP with a number"):
        other_model(f"{workdir}{behind}", "--weak")


def test_a_run_or_a_step_that_is_not_there_is_refused(workdir):
    with pytest.raises(UsageError, match=r"no checkpoint .*/3; the steps there: 0"):
        other_model(f"{workdir}@3", "--weak")
    with pytest.raises(UsageError, match="nowhere"):
        other_model("nowhere@3", "--weak")
