"""The log: written, cut back, read, drawn."""

import json

import numpy as np
import pytest

from scoresde.registry import UsageError
from scoresde.training import LogWriter, plot_loss, read_log
from scoresde.training.log import _smooth


def write(workdir, steps, resume_step=0):
    with LogWriter(workdir, resume_step) as writer:
        for step in steps:
            writer.write(step, {"loss": np.float32(1 / step), "grad_norm": 2.0 * step})
            writer.write_timing(step, {"images_per_second": 123.0})


def test_rows(tmp_path):
    write(tmp_path, [2, 4])
    with LogWriter(tmp_path, 4) as writer:
        writer.write(4, {"eval_loss": 0.5})
    assert read_log(tmp_path) == [
        {"step": 2, "loss": 0.5, "grad_norm": 4.0},
        {"step": 4, "loss": 0.25, "grad_norm": 8.0, "eval_loss": 0.5},
    ]


def test_float32_values_are_kept_to_the_bit(tmp_path):
    value = np.float32(1 / 3)
    with LogWriter(tmp_path) as writer:
        writer.write(1, {"loss": value})
    assert np.float32(read_log(tmp_path)[0]["loss"]) == value


def test_a_resumed_log_equals_an_uninterrupted_one(tmp_path):
    write(tmp_path / "whole", range(1, 13))
    write(tmp_path / "parts", range(1, 9))
    with (tmp_path / "parts" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # killed in the middle of a line
    write(tmp_path / "parts", range(6, 13), resume_step=5)
    whole, parts = (tmp_path / name / "metrics.jsonl" for name in ("whole", "parts"))
    assert parts.read_text() == whole.read_text()


def test_a_new_run_starts_a_new_log(tmp_path):
    write(tmp_path, [1, 2, 3])
    write(tmp_path, [1])
    assert [row["step"] for row in read_log(tmp_path)] == [1]


def test_what_is_written_can_be_read_at_once(tmp_path):
    with LogWriter(tmp_path) as writer:
        writer.write(1, {"loss": 2.0})
        assert read_log(tmp_path) == [{"step": 1, "loss": 2.0}]


def test_tensorboard_files(tmp_path):
    write(tmp_path, [1, 2])
    (file,) = (tmp_path / "tensorboard").iterdir()
    content = file.read_bytes()
    assert all(name in content for name in (b"loss", b"grad_norm", b"images_per_second"))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_plot(tmp_path, sign):
    with LogWriter(tmp_path) as writer:
        for step in range(1, 100):
            writer.write(step, {"loss": sign * np.exp(-step / 30), "other": 1.0})
            if step % 10 == 0:
                writer.write(step, {"eval_loss": sign * np.exp(-step / 40)})
    path = plot_loss(tmp_path)
    assert path == tmp_path / "loss.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_smoothing():
    np.testing.assert_allclose(_smooth(np.array([0.0, 3.0, 6.0, 0.0]), 1), [1.5, 3.0, 3.0, 3.0])
    np.testing.assert_allclose(_smooth(np.array([5.0, 7.0]), 0), [5.0, 7.0])


def test_a_log_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"There is no log .*train first"):
        read_log(tmp_path)


def test_a_log_without_losses_is_not_drawn(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "other": 0.0}) + "\n")
    with pytest.raises(UsageError, match="holds no loss yet"):
        plot_loss(tmp_path)


@pytest.mark.parametrize("line", [b"nonsense", b'{"step": "2"}', b"[2]", b"\xff\xfe\x00"])
def test_a_line_that_is_no_entry_is_named(tmp_path, line):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + line + b'\n{"step": 2}\n')
    with pytest.raises(UsageError, match=r"Line 2 of .* remove that line"):
        read_log(tmp_path)
