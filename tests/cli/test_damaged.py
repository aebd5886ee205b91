"""What commands do about a damaged checkpoint: train goes back by one, all others refuse."""

import pathlib

import pytest

from scoresde import training
from scoresde.cli import main

CONFIG = str(pathlib.Path(__file__).parent.parent / "tiny_split.py")
SHORT = ["sample_every=0", "eval_fd_every=0", "eval_every=0", "num_steps=8"]


@pytest.fixture
def damaged(tmp_path):
    """The arguments of a run whose last checkpoint is damaged, and that checkpoint."""
    workdir = tmp_path / "run"
    arguments = ["--config", CONFIG, "--workdir", str(workdir)]
    arguments += [f"--config.training.{item}" for item in SHORT]
    assert main(["train", *arguments]) == 0
    checkpoint = workdir / "checkpoints" / "8"
    for item in "params", "ema_params":
        (checkpoint / item / "_METADATA").unlink()
    return workdir, arguments, checkpoint


def test_a_damaged_checkpoint_is_never_replaced_in_silence(damaged, capsys):
    workdir, arguments, checkpoint = damaged
    there = ["--workdir", str(workdir)]
    for command in (
        ["sample", *there, "--num", "1"],
        ["likelihood", *there, "--num", "1"],
        ["evaluate", *there, "--num", "8", "--features", "tiny_model:Pixels"],
        ["train", *arguments, "--strict"],
    ):
        capsys.readouterr()
        assert main(command) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"scoresde: The checkpoint {checkpoint} is damaged: "), error
        assert "the one before is of step 4: name that step" in error
    assert training.Checkpoints(checkpoint.parent).all_steps() == [4, 8]

    assert main(["train", *arguments]) == 0
    error = capsys.readouterr().err.splitlines()
    warning = next(line for line in error if line.startswith("Warning: The checkpoint"))
    assert warning.endswith("checkpoints/damaged/8, and the run goes on from step 4.")
    assert f"Resuming from {checkpoint.parent / '4'}." in error
    assert main(["sample", *there, "--num", "1"]) == 0
