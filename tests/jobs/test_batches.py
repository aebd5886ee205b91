"""The loop over batches, and what it reports of itself."""

import time

import numpy as np
import pytest

from scoresde.jobs import Parts, in_batches


class Pending:
    """Looks like a device array that is computed for a while."""

    def __init__(self, value, seconds):
        self._value, self._ready_at = value, time.perf_counter() + seconds

    def is_ready(self):
        return time.perf_counter() >= self._ready_at

    def __array__(self, dtype=None, copy=None):
        assert self.is_ready()
        return np.asarray(self._value)


def squares(rows, fetch):
    return fetch({"square": rows**2})


def test_every_row_once_in_order_with_the_tail():
    results = in_batches(squares, num=11, batch_size=4)
    np.testing.assert_array_equal(results["square"], np.arange(11) ** 2)
    assert results["seconds"].shape == (3,)


def test_a_job_reports_its_stages():
    reports = []
    in_batches(
        squares,
        num=6,
        batch_size=4,
        progress=reports.append,
        about="Squares.",
        note=lambda batch: f"up to {batch['square'].max()}",
    )
    stages = ["start", "compiling", "compiled", "batch", "batch", "end"]
    assert [report.stage for report in reports] == stages
    assert [report.done for report in reports] == [0, 0, 0, 4, 6, 6]
    assert reports[0].text == "Squares." and reports[0].kept is None
    assert [report.text for report in reports[3:]] == ["up to 9", "up to 25", "up to 25"]


def test_what_the_device_computes_is_waited_for_and_told_from_compilation():
    reports = []

    def compute(rows, fetch):
        if rows[0] == 0:
            time.sleep(1.0)  # compiles
        return fetch({"row": Pending(rows, 0.6)})

    in_batches(compute, num=4, batch_size=2, progress=reports.append)
    of_stage = {report.stage: report for report in reports}
    assert of_stage["compiled"].seconds >= 1.0
    assert of_stage["waiting"].seconds >= 0.5
    batches = [report.seconds for report in reports if report.stage == "batch"]
    assert all(0.55 < seconds < 1.6 for seconds in batches), batches


def test_an_interrupted_job_goes_on_where_it_was(tmp_path):
    def interrupt(report):
        if report.done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_batches(squares, num=11, batch_size=4, parts=Parts(tmp_path, {}), progress=interrupt)
    reports = []
    options = {"num": 11, "batch_size": 4, "progress": reports.append}
    results = in_batches(squares, parts=Parts(tmp_path, {}), **options)
    np.testing.assert_array_equal(results["square"], np.arange(11) ** 2)
    assert [(r.stage, r.done, r.found) for r in reports if r.stage in ("start", "batch")] == [
        ("start", 8, 8),
        ("batch", 11, 8),
    ]
    assert reports[0].kept == tmp_path
    # All of it found: nothing is compiled, and nothing is said to be.
    reports.clear()
    in_batches(squares, parts=Parts(tmp_path, {}), **options)
    assert [report.stage for report in reports] == ["start", "end"]
